#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Breaks the code on purpose, one place at a time, and sees tests fail.

  tests/mutate.py [--tree DIR] [--list] [PATTERN]...

Works on a copy of the committed tree (DIR, kept and used again; default: a temporary one). A row
of MUTATIONS is a file, the text to replace (it must be there exactly once), what it is replaced
by, and the tests of which at least one must fail. A row that no longer fits is reported, as is one
that survives: a test is missing, or the code is.
"""

import argparse
import os
import subprocess
import sys
import tempfile

ROOT = os.path.realpath(os.path.join(os.path.dirname(os.path.realpath(__file__)), ".."))

MUTATIONS = [
    # memory
    ("src/mem/classify.c", "{SF_DONTCOPY, MADV_DONTFORK},", "", "memory/madvise_states"),
    ("src/mem/classify.c", "{SF_SEQ_READ, MADV_SEQUENTIAL},", "", "memory/madvise_states"),
    ("src/mem/classify.c", "{SF_DONTDUMP, MADV_DONTDUMP},", "", "memory/madvise_states"),
    ("src/mem/classify.c", "flags |= MAP_GROWSDOWN;", ";", "memory/grows_down"),
    ("src/mem/classify.c", "flags |= MAP_NORESERVE;", ";", "memory/sparse_reservation"),
    ("src/mem/build.c", "if (!(v->flags & MAP_LOCKED))", "if (true)", "memory/mlock"),
    ("src/mem/finish.c", "g->end - g->start, MADV_GUARD_INSTALL", "0, MADV_GUARD_INSTALL",
     "memory/guard_install"),
    ("src/mem/finish.c", ".arg_start = m->arg_start,", ".arg_start = m->arg_start + 1,",
     "memory/proc_self"),
    ("src/mem/finish.c", ".brk = m->brk,", ".brk = m->brk + 4096,", "memory/heap"),
    ("src/mem/plan.c", "if (memcmp(own + at, theirs + at, PAGE_LEN) == 0)", "if (true)",
     "interop/chain_images"),
    ("src/mem/plan.c", "	if (own == theirs) {", "	if (in->m->knows_cow) {",
     "memory/cow_sharing memory/child_remapped"),
    ("src/mem/plan.c", "	if (own == theirs) {", "	if (false) {", "memory/cow_sharing"),
    ("src/mem/plan.c", "v->pgoff - v->start == b->pgoff - b->start;", "true;",
     "memory/child_other_file"),
    ("src/mem/pagescan.c", "uint64_t unwanted = PAGE_IS_PFNZERO | (s->anonymous",
     "uint64_t unwanted = (s->anonymous", "memory/zero_pages"),
    ("src/mem/shmem.c", "off_t from = lseek(d->fd, (off_t)at, SEEK_DATA), to;",
     "off_t from = lseek(d->fd, (off_t)at + 4096, SEEK_DATA), to;",
     "memory/anon_shared memory/memfd"),
    ("src/image/store_verify.c", "page_sum(im->pm->pages + at) != le32toh(sums[at / PAGE])",
     "false", "cli/integrity"),
    ("src/image/page_sums.c", "if (r == 0 && crc != sum->crc)", "if (false)", "cli/integrity"),
    ("src/cli/session.c", "o->no_verify ? NULL : img_sums_new()", "img_sums_new()",
     "cli/integrity"),
    ("src/image/sums.c", "alike + 1 == s->list.len", "false", "cli/integrity"),
    ("src/image/reader.c", "if (crc != sum->crc)", "if (false)", "cli/integrity"),
    ("src/image/writer.c", "TRY(sum_copied(w, n, err));", "", "cli/integrity"),
    ("src/mem/shmem.c", "memcpy(to + (at - start), from, len);", "memcpy(to, from, len);",
     "memory/hugetlb_shared"),
    ("src/file/memfd.c", "e->hugetlb_flag ? \"/anon_hugepage\" : \"/dev/zero\"", "\"/dev/zero\"",
     "memory/hugetlb_shared"),
    ("src/mem/peek.c", "(entries[at] & PM_MMAP_EXCLUSIVE));", "true);",
     "cli/pre_dump_keeps_sharing"),
    # the memory engine: chains, trackers, sharing
    ("src/engine/chain.c", "if (!parent->run_id[0] || strcmp(k->run_id, parent->run_id) != 0)",
     "if (false)", "cli/chains"),
    ("src/engine/chain.c", "unlinkat(c->dir->fd, PARENT_LINK, 0) < 0", "false", "cli/chains"),
    ("src/mem/pagescan.c", "s->mode == PAGESCAN_PROTECT ? PM_SCAN_WP_MATCHING : 0;", "0;",
     "cli/chains"),
    ("src/mem/pagescan.c", "s->at = n ? MAX(arg.walk_end, s->found[n - 1].end) : arg.walk_end;",
     "s->at = arg.walk_end;", "memory/storm_calm"),
    ("src/mem/source.c", "s->o.parent && !s->found.written &&", "s->o.parent &&", "cli/chains"),
    ("src/mem/source.c", "end = parent_extent(s, start, end, &clean);", ";", "memory/storm"),
    ("src/mem/cow.c", "if (shared_page(x[i]) && shared_page(x[i]) == shared_page(y[i]))",
     "if (false)", "interop/chain_images"),
    ("src/mem/shmem.c", "memcmp(p->src + (at - p->vaddr), page, PAGE) == 0;", "true;",
     "memory/storm"),
    ("src/image/store.c",
     "strcmp(child->chain.parent_run_id, parent->chain.run_id) == 0)", "true)", "cli/chains"),
    # files
    ("src/file/files.c", "e.flags = info.cloexec ? FD_CLOEXEC : 0;", "e.flags = 0;",
     "file/regular file/high_numbers"),
    ("src/file/share.c", "return r == 0 ? 0 : r == 1 ? -1 : 1;", "return r == 1 ? -1 : 1;",
     "file/shared_positions file/pipes"),
    ("src/file/fd.c", "if (fown->signum && fcntl(fd, F_SETSIG", "if (false && fcntl(fd, F_SETSIG",
     "file/owner"),
    ("src/file/fd.c", "r = fcntl(fd, F_SETOWN_EX, ex) < 0 ? -errno : 0;", "r = 0;", "file/owner"),
    ("src/file/reg.c", "e->pos = d->info.pos;", "e->pos = 0;", "file/regular"),
    ("src/file/reg.c", "if (e->has_size && (uint64_t)st->st_size != e->size)", "if (false)",
     "cli/mismatching_files"),
    ("src/file/eventfd.c", "(is_semaphore(e) ? EFD_SEMAPHORE : 0)", "0", "file/eventfds"),
    ("src/file/pipe.c", "if (!p->size || fcntl(p->w, F_GETPIPE_SZ) == (int)p->size)", "if (true)",
     "file/pipes"),
    ("src/file/ghost.c", "c.off = (uint64_t)data;", "c.off = at;", "file/deleted"),
    ("src/file/memfd.c", "if (seals == 0 || seals == F_SEAL_SEAL || m->base < 0)", "if (true)",
     "memory/memfd"),
    ("src/file/tty_io.c", "if (ioctl(fd, TIOCSWINSZ, &ws) < 0)", "if (false)", "file/pty_pair"),
    # processes and their threads
    ("src/task/itimer.c", "step_call(s, SYS_setitimer",
     "if (false) step_call(s, SYS_setitimer", "process/itimers"),
    ("src/task/ptimer.c", "step_call(s, SYS_timer_settime",
     "if (false) step_call(s, SYS_timer_settime", "process/posix_timers"),
    ("src/task/ptimer.c", "(uint64_t)t->clock, at.va",
     "(uint64_t)CLOCK_MONOTONIC, at.va", "process/posix_timers"),
    ("src/task/sigact.c", "step_call(s, SYS_rt_sigaction",
     "if (false) step_call(s, SYS_rt_sigaction", "process/sigactions"),
    ("src/task/sigqueue.c", "step_call(s, SYS_rt_sigqueueinfo",
     "if (false) step_call(s, SYS_rt_sigqueueinfo", "process/sigpending"),
    ("src/task/sigqueue.c", "step_call(s, SYS_rt_tgsigqueueinfo",
     "if (false) step_call(s, SYS_rt_tgsigqueueinfo", "process/sigpending"),
    ("src/task/sigmask.c", "r->sigmask = core->thread_core->blk_sigset;",
     "r->sigmask = 0;", "process/threads"),
    ("src/task/sigstack.c", "step_call(s, SYS_sigaltstack",
     "if (false) step_call(s, SYS_sigaltstack", "process/sigaltstack"),
    ("src/task/comm.c", "step_call(s, SYS_prctl, PR_SET_NAME",
     "if (false) step_call(s, SYS_prctl, PR_SET_NAME", "process/names"),
    ("src/task/oom.c", 'r = io_write_file(s->t->proc, "oom_score_adj", text);',
     "r = 0;", "process/oom_and_loginuid"),
    ("src/task/pdeath.c", "step_call(s, SYS_prctl, PR_SET_PDEATHSIG",
     "if (false) step_call(s, SYS_prctl, PR_SET_PDEATHSIG", "process/parent_death"),
    ("src/task/personality.c", "step_call(s, SYS_personality",
     "if (false) step_call(s, SYS_personality", "process/personality"),
    ("src/task/subreaper.c", "PR_SET_CHILD_SUBREAPER, s->rt->child_subreaper",
     "PR_SET_CHILD_SUBREAPER, 0", "process/subreaper"),
    ("src/task/tidaddr.c", "step_call(s, SYS_set_tid_address",
     "if (false) step_call(s, SYS_set_tid_address", "process/clear_child_tid"),
    ("src/task/robust.c", "step_call(s, SYS_set_robust_list",
     "if (false) step_call(s, SYS_set_robust_list", "process/robust_list"),
    ("src/task/membarrier.c", "step_call(s, SYS_membarrier",
     "if (false) step_call(s, SYS_membarrier", "process/thp_and_membarrier"),
    ("src/task/rseq.c", "step_call(s, SYS_rseq, want->ptr",
     "if (false) step_call(s, SYS_rseq, want->ptr", "process/rseq"),
    ("src/task/creds.c", "step_call(s, SYS_setgroups",
     "if (false) step_call(s, SYS_setgroups", "process/creds"),
    ("src/task/creds.c", "step_call(s, SYS_setfsuid",
     "if (false) step_call(s, SYS_setfsuid", "process/creds"),
    ("src/task/creds.c", "step_call(s, SYS_setresuid",
     "if (false) step_call(s, SYS_setresuid", "process/creds"),
    ("src/task/creds.c", "step_call(s, SYS_prctl, PR_CAPBSET_DROP",
     "if (false) step_call(s, SYS_prctl, PR_CAPBSET_DROP", "process/creds"),
    ("src/task/creds.c", "step_call(s, SYS_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE",
     "if (false) step_call(s, SYS_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE", "process/creds"),
    ("src/task/creds.c", "step_call(s, SYS_prctl, PR_SET_NO_NEW_PRIVS",
     "if (false) step_call(s, SYS_prctl, PR_SET_NO_NEW_PRIVS", "process/creds"),
    ("src/task/creds.c", "step_call(s, SYS_prctl, PR_SET_SECUREBITS, want.secbits",
     "if (false) step_call(s, SYS_prctl, PR_SET_SECUREBITS, want.secbits", "process/creds"),
    ("src/task/rlimit.c", "step_call(s, SYS_prlimit64",
     "if (false) step_call(s, SYS_prlimit64", "process/rlimits"),
    ("src/task/seccomp.c", "step_call(s, SYS_seccomp, SECCOMP_SET_MODE_STRICT",
     "if (false) step_call(s, SYS_seccomp, SECCOMP_SET_MODE_STRICT", "process/seccomp_strict"),
    ("src/mem/finish.c", "PR_SET_THP_DISABLE, 1",
     "PR_SET_THP_DISABLE, 0", "process/thp_and_membarrier"),
    ("src/mem/finish.c", "m->dumpable == 1", "1", "process/dumpable"),
    ("src/file/fs.c", "SYS_umask, fs->umask", "SYS_umask, 022", "process/umask"),
    ("src/engine/restore_grow.c", "build_exit(t->target, t->props->exit_code, err)",
     "build_exit(t->target, 0, err)", "process/zombies"),
    ("src/engine/restore_grow.c", 'TRY(call(t, err, "setsid", SYS_setsid, 0, 0));',
     "", "process/sessions"),
    ("src/engine/restore_grow.c", 'return call(t, err, "setpgid", SYS_setpgid, 0, op->arg);',
     "return 0;", "process/sessions"),
    ("src/task/arch/x86_64/regs.c", "arch_regs_rewind(&r);",
     "", "remote/sleeps remote/reads_and_writes"),
    ("src/remote/arch/x86_64/state.c", "regs->rdi = regs->rsi;", "", "remote/sleeps"),
]


def run(*command, **kwargs):
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          **kwargs)


def must(*command, **kwargs):
    done = run(*command, **kwargs)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}: exit status {done.returncode}\n{done.stdout[-3000:]}")


def prepare(tree):
    os.makedirs(tree, exist_ok=True)
    must("sh", "-c", 'git -C "$1" archive HEAD | tar x -C "$2"', "sh", ROOT, tree)
    build = os.path.join(tree, "build")
    if not os.path.exists(os.path.join(build, "build.ninja")):
        must("meson", "setup", build, tree)
    must("ninja", "-C", build)
    return build


def one(tree, build, path, old, new, tests):
    """What became of a mutation, in a word, and the test's own words."""
    path = os.path.join(tree, path)
    with open(path) as f:
        text = f.read()
    if text.count(old) != 1:
        return "doesn't fit any more", ""
    with open(path, "w") as f:
        f.write(text.replace(old, new))
    try:
        built = run("ninja", "-C", build, "torpor")
        if built.returncode != 0:
            return "doesn't compile", built.stdout[-1500:]
        select = [word for test in tests.split() for word in ("--select", test)]
        ran = run(sys.executable, os.path.join(tree, "tests", "run"), "--build", build, *select)
        return ("noticed" if ran.returncode == 1 else "SURVIVED"), ran.stdout[-1500:]
    finally:
        with open(path, "w") as f:
            f.write(text)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tree", metavar="DIR")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("pattern", nargs="*", help="only rows that have one of these")
    args = parser.parse_args()
    rows = [row for row in MUTATIONS
            if not args.pattern or any(p in field for p in args.pattern for field in row)]
    if args.list:
        for path, old, new, tests in rows:
            print(f"{path}: {old}  ->  {new}  ({tests})")
        return 0
    with tempfile.TemporaryDirectory(prefix="torpor-mutate-") as temporary:
        tree = args.tree or temporary
        build = prepare(tree)
        bad = 0
        for path, old, new, tests in rows:
            verdict, said = one(tree, build, path, old, new, tests)
            bad += verdict != "noticed"
            print(f"{verdict:22} {path}: {old}", flush=True)
            if verdict != "noticed":
                print("".join(f"        {line}\n" for line in said.splitlines()), end="")
    print(f"{len(rows) - bad} of {len(rows)} mutations were noticed")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
