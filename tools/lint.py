#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The rules of the house that a compiler doesn't check.

  tools/lint.py [--warn]        layers, sizes, forbidden calls, log formats, heads of files
  tools/lint.py --headers DIR   each header compiles alone (DIR: a build directory)
  tools/lint.py --all           the rules, and clang-format, cppcheck, codespell, shellcheck
                                as far as they are installed

Errors fail; warnings are shown with --warn. A line with "lint: allow" and a reason is passed over.
"""

import json
import os
import re
import shutil
import subprocess
import sys

ROOT = os.path.realpath(os.path.join(os.path.dirname(os.path.realpath(__file__)), ".."))

# A folder uses those of a lower level. Folders of one level don't include each other, but for the
# sanctioned pairs.
LEVELS = {"base": 0, "kernel": 1, "image": 2, "inspect": 3, "remote": 2, "mem": 3, "file": 4, "task": 4,
          "engine": 5, "cli": 6}
SANCTIONED = set()

FORBIDDEN = {
    "sscanf": "overflows silently: use base/parse.h",
    "strtol": "use base/parse.h", "strtoll": "use base/parse.h", "strtoul": "use base/parse.h",
    "strtoull": "use base/parse.h", "atoi": "use base/parse.h", "atol": "use base/parse.h",
    "atoll": "use base/parse.h", "strtok": "has state: use base/parse.h",
    "sprintf": "use snprintf", "vsprintf": "use vsnprintf", "gets": "use getline",
    "strcpy": "use str_copy", "strcat": "use snprintf", "strncpy": "use str_copy",
    "system": "no shell: fork and exec", "popen": "no shell: fork and exec",
    "alloca": "use the arena", "dup": "not close-on-exec: use fd_dup_above",
    "sleep": "wait for the event", "usleep": "wait for the event",
    "exit": "return the status", "rand": "use getrandom", "tmpnam": "use O_TMPFILE",
    "signal": "use sigaction", "vfork": "use fork",
}
FILE_WARN, FILE_MAX = 600, 1000
FUNCTION_WARN, FUNCTION_MAX = 60, 100
COLUMNS = 100

problems = []
warnings = []


def error(path, line, text):
    problems.append(f"{path}:{line}: {text}")


def warn(path, line, text):
    warnings.append(f"{path}:{line}: warning: {text}")


def tracked():
    """Paths of the tree: known to git or new, but not ignored."""
    output = subprocess.run(["git", "-c", "safe.directory=*", "ls-files", "-co",
                             "--exclude-standard"],
                            cwd=ROOT, stdout=subprocess.PIPE, check=True, text=True).stdout
    return sorted({p for p in output.splitlines() if os.path.isfile(os.path.join(ROOT, p))})


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8", errors="replace") as file:
        return file.read()


def blank(match):
    """Keeps line breaks, so that line numbers stay."""
    return re.sub(r"[^\n]", " ", match.group(0))


def strip_comments(text):
    return re.sub(r'"(?:\\.|[^"\\\n])*"|/\*.*?\*/|//[^\n]*',
                  lambda m: m.group(0) if m.group(0)[0] == '"' else blank(m), text, flags=re.S)


def strip_strings(text):
    return re.sub(r'"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', blank, text)


def line_of(text, offset):
    return text.count("\n", 0, offset) + 1


def check_layers(path, text):
    parts = path.split("/")
    if len(parts) < 3 or parts[0] != "src":
        return
    own = parts[1]
    if own not in LEVELS:
        return error(path, 1, f"folder src/{own} isn't in tools/lint.py's list of layers")
    for match in re.finditer(r'^#include "([a-z_0-9]+)/[^"]*"', text, flags=re.M):
        other = match.group(1)
        if other == own or (own, other) in SANCTIONED:
            continue
        if other not in LEVELS:
            error(path, line_of(text, match.start()), f"unknown folder in {match.group(0)}")
        elif LEVELS[other] >= LEVELS[own]:
            error(path, line_of(text, match.start()), f"{own}/ must not include from {other}/")


def check_calls(path, lines, code):
    pattern = re.compile(r"(?<![\w.>])(" + "|".join(FORBIDDEN) + r")\s*\(")
    for match in pattern.finditer(code):
        number = line_of(code, match.start())
        if "lint: allow" not in lines[number - 1]:
            error(path, number, f"{match.group(1)}(): {FORBIDDEN[match.group(1)]}")
    # The kernel's own limit, good for links of /proc; a path of the user can be longer.
    for match in re.finditer(r"\bPATH_MAX\b", code):
        warn(path, line_of(code, match.start()), "PATH_MAX: can it really not be longer?")
    for match in re.finditer(r"\b([us](?:8|16|32|64))\b", code):
        number = line_of(code, match.start())
        if "uapi/" not in path and "lint: allow" not in lines[number - 1]:
            error(path, number, f"{match.group(1)} isn't used here")


def check_logs(path, text):
    for match in re.finditer(r"\blog_(?:error|warn|info|debug)\(\s*", text):
        rest = text[match.end():match.end() + 4]
        number = line_of(text, match.start())
        if "#define" in text[text.rfind("\n", 0, match.start()) + 1:match.start() + 1]:
            continue
        if not rest.startswith('"') and not rest.startswith("..."):
            error(path, number, "the log's format must be a literal")
            continue
        literal = re.match(r'"(?:\\.|[^"\\\n])*"', text[match.end():])
        if literal and literal.group(0).endswith('\\n"'):
            error(path, number, "the log's format has no newline")


def check_functions(path, lines):
    """Kernel braces: a body begins with a line that is "{" and ends with one that is "}"."""
    start = None
    for number, line in enumerate(lines, 1):
        if line == "{":
            start = number
        elif line == "}" and start:
            length = number - start - 1
            if length > FUNCTION_MAX:
                error(path, start, f"function of {length} lines (limit {FUNCTION_MAX})")
            elif length > FUNCTION_WARN:
                warn(path, start, f"function of {length} lines")
            start = None


def check_lines(path, lines):
    for number, line in enumerate(lines, 1):
        width = len(line.expandtabs(8))
        # What people paste into grep stays on one line.
        if width > COLUMNS and '"' not in line and "|" not in line:
            warn(path, number, f"{width} columns")
        if line != line.rstrip():
            error(path, number, "blanks at the end")
        if re.search(r"\b(TODO|FIXME|XXX)\b", line) and path != "tools/lint.py":
            error(path, number, "unfinished work is not marked in the tree")


def check_c(path, text):
    lines = text.splitlines()
    bare = strip_comments(text)
    code = strip_strings(bare)
    if len(lines) > FILE_MAX:
        error(path, 1, f"{len(lines)} lines (limit {FILE_MAX})")
    elif len(lines) > FILE_WARN:
        warn(path, 1, f"{len(lines)} lines")
    check_layers(path, bare)
    check_functions(path, lines)
    if path.startswith("src/"):
        check_calls(path, lines, code)
        check_logs(path, bare)
    if path.endswith(".h") and "#pragma once" not in code:
        error(path, 1, "no #pragma once")


def check_head(path, lines):
    if not any("SPDX-License-Identifier: Apache-2.0" in line for line in lines[:3]):
        error(path, 1, "no SPDX head")


def run_rules():
    for path in tracked():
        kind = os.path.splitext(path)[1]
        script = kind in ("", ".py", ".sh") and read(path).startswith("#!")
        if kind not in (".c", ".h", ".S", ".proto", ".py", ".sh") and not script:
            continue
        text = read(path)
        lines = text.splitlines()
        check_head(path, lines)
        check_lines(path, lines)
        if kind in (".c", ".h"):
            check_c(path, text)


def compile_flags(build):
    """The flags of any file of ours, without input, output and dependency files."""
    with open(os.path.join(build, "compile_commands.json"), encoding="utf-8") as file:
        for entry in json.load(file):
            if entry["file"].endswith("base/err.c"):
                words = entry["command"].split()
                return entry["directory"], [w for w in words if re.match(r"-[IDWf]|-std", w)]
    raise SystemExit("lint: base/err.c isn't in compile_commands.json")


def run_headers(build):
    directory, flags = compile_flags(build)
    flags = [f.replace("\\", "") for f in flags if "TORPOR_VERSION" not in f]
    for path in tracked():
        if not path.startswith("src/") or not path.endswith(".h"):
            continue
        result = subprocess.run(["cc", *flags, "-I" + os.path.join(ROOT, "src"), "-Isrc",
                                 "-include", os.path.join(ROOT, path), "-x", "c",
                                 "-fsyntax-only", "/dev/null"],
                                cwd=directory, stderr=subprocess.PIPE, text=True, check=False)
        if result.returncode != 0 or result.stderr:
            error(path, 1, "doesn't compile alone:\n" + result.stderr)


def run_tool(name, command):
    if not shutil.which(name):
        return print(f"lint: {name} isn't installed, left out")
    result = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            text=True, check=False)
    if result.returncode != 0:
        problems.append(f"{name}:\n{result.stdout}")
    return None


def run_tools():
    paths = tracked()
    sources = [p for p in paths if p.endswith((".c", ".h"))]
    shell = [p for p in paths if read(p).startswith(("#!/bin/sh", "#!/bin/bash"))]
    run_tool("clang-format", ["clang-format", "--dry-run", "-Werror", *sources])
    run_tool("cppcheck", ["cppcheck", "--quiet", "--error-exitcode=1", "--std=c11", "-Isrc",
                          "--enable=portability", "--suppress=ctuuninitvar",
                          "--suppress=internalAstError", "--suppress=comparePointers",
                          "--suppress=subtractPointers", "--suppress=shiftTooManyBitsSigned",
                          "--suppress=unknownMacro",  # json_array_foreach
                          "--inline-suppr", "src"])
    run_tool("codespell", ["codespell", "--ignore-words-list=nknown,parms,mis,te,fo,inh,useable,upto,arent",
                           *[p for p in paths if p.endswith((".c", ".h", ".md", ".scd", ".py"))]])
    run_tool("shellcheck", ["shellcheck", *shell])


def main():
    if "--headers" in sys.argv:
        run_headers(sys.argv[sys.argv.index("--headers") + 1])
    else:
        run_rules()
    if "--all" in sys.argv:
        run_tools()
    if "--warn" in sys.argv:
        print(*warnings, sep="\n")
    print(*problems, sep="\n" if problems else "")
    print(f"lint: {len(problems)} errors, {len(warnings)} warnings")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
