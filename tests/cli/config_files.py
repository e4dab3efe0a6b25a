#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Configuration files: which are read, in which order, their syntax, and what is wrong in them."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
from freeze import expect, run  # noqa: E402


class Config:
    """Runs a dump of a process that doesn't exist: its log shows which log file was chosen."""

    def __init__(self, t):
        self.t = t
        self.env = {k: v for k, v in os.environ.items() if k != "CRIU_CONFIG_FILE"}
        self.env["HOME"] = t.path("home")
        os.makedirs(t.path("home", ".criu"))

    def log(self, *words, **env):
        """The one log file that the run made."""
        work = self.t.path("work")
        os.makedirs(work)
        done = self.t.torpor.run("dump", "-t", os.getpid(), "-D", work, "--leave-running", *words,
                                 env=dict(self.env, **env))
        logs = sorted(os.listdir(work))
        for name in logs:
            os.unlink(os.path.join(work, name))
        os.rmdir(work)
        return done, [n for n in logs if n.endswith(".log")]


def expect_log(config, wanted, *words, **env):
    done, logs = config.log(*words, **env)
    expect(logs == ([wanted] if wanted else []),
           f"{words} {env}: the log went to {logs}, not to {wanted}; {done.stderr!r}")


def order(t, config):
    t.write("home/.criu/default.conf", "log-file home.log\n")
    t.write("env.conf", "log-file env.log\n")
    t.write("given.conf", "log-file given.log\n")
    env = {"CRIU_CONFIG_FILE": t.path("env.conf")}
    given = ["--config", t.path("given.conf")]
    expect_log(config, "home.log")
    expect_log(config, None, "--no-default-config")
    expect_log(config, "env.log", **env)
    expect_log(config, "env.log", "--no-default-config", **env)
    expect_log(config, "given.log", *given)
    expect_log(config, "given.log", *given, **env)
    expect_log(config, "given.log", "--config=" + t.path("given.conf"))
    expect_log(config, "line.log", "-o", "line.log", *given, **env)
    expect_log(config, None, "--config", t.path("missing.conf"))
    os.unlink(t.path("home/.criu/default.conf"))
    expect_log(config, None)


def syntax(t, config):
    for text, wanted in [
            ("# a comment\n\n\t log-file \t a.log   # another\n", "a.log"),
            ('log-file "b c.log"\n', "b c.log"),
            ('log-file "d\\"e.log"\n', 'd"e.log'),
            ("log-file=f.log\n", "f.log"),
            ("tcp-established\nno-tcp-established\nlog-file g.log", "g.log")]:
        t.write("given.conf", text)
        expect_log(config, wanted, "--config", t.path("given.conf"))


def mistakes(t, config):
    for text, words in [("log-file two words\n", "two words"), ('log-file "open\n', "quot"),
                        ("no-such-option\n", "no-such-option"), ("dump\n", "dump"),
                        ("tcp-established\n", "tcp-established"), ("timeout never\n", "never")]:
        t.write("given.conf", text)
        done, _ = config.log("--config", t.path("given.conf"))
        expect(done.returncode == 1, f"{text!r}: exit status {done.returncode}")
        expect(words.split()[0] in done.stderr and "given.conf" in done.stderr,
               f"{text!r}: the error names neither word nor file: {done.stderr!r}")


def test(t):
    config = Config(t)
    order(t, config)
    syntax(t, config)
    mistakes(t, config)


run(test)
