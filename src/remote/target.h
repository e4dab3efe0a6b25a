/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A process that torpor acts on, and its threads: all one needs to act on it and to talk about it.
 *
 * Naming: `pid`/`tid` is what torpor sees, `vpid`/`vtid` what the process itself sees (innermost
 * pid namespace). An address in a target is a raddr_t, an fd number in a target a struct tfd;
 * plain pointers and ints are always torpor's own.
 */
#pragma once

#include "base/err.h"

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct arch_state; /* registers and FPU of one thread: remote/arch/x86_64/state.h */
struct scratch;	   /* agent and batch area in the target: remote/scratch.h */
struct gadgets;	   /* remote/arch/x86_64/gadget.h */

typedef struct {
	uint64_t va;
} raddr_t;

struct tfd {
	int n;
};

static inline raddr_t raddr(uint64_t va)
{
	return (raddr_t){va};
}

enum target_state {
	TARGET_ALIVE,
	TARGET_STOPPED, /* in group-stop before we came; stop_signo says by which signal */
	TARGET_ZOMBIE,	/* dead, not reaped: no threads, no memory; exit_status is set */
};

struct target_thread {
	struct target *target;
	pid_t tid, vtid;
	bool seized;	  /* traced by us and in a ptrace-stop */
	bool entered;	  /* runs the agent: its own state is in `saved` */
	uint64_t sigmask; /* own blocked mask (bit n-1 = signal n), from the first stop on */
	struct arch_state *saved; /* own registers and FPU, from the first stop on */
	/* Only for remote/ itself: */
	bool in_agent;	 /* its registers are the agent's, not its own */
	int slot;	 /* ... and this is where its frame lies, see scratch.h */
	siginfo_t *held; /* a signal caught by the agent, handed on when the thread is released */
};

struct target {
	pid_t pid, vpid;
	pid_t ppid;    /* as torpor sees it */
	char comm[16]; /* leader's, for messages */
	int pidfd;     /* -EBADF for a zombie that can't be opened */
	int proc;      /* O_PATH dirfd of /proc/PID */
	enum target_state state;
	int stop_signo;
	bool stop_untold; /* its parent hasn't waited for that stop yet (see stop_is_untold) */
	int exit_status;  /* raw wait status */
	bool exitkill;	  /* half-made: dies with torpor (restore) */
	bool has_seccomp; /* a thread is in a seccomp mode: no batches, see batch.h */
	struct target_thread **threads; /* [0] is the leader */
	size_t nthreads;
	struct scratch *scratch; /* NULL until entered */
	/* Only for remote/ itself: */
	bool nested_pidns;	 /* vpid is a number of another pid namespace than torpor's */
	bool died;		 /* and its threads are reaped */
	struct gadgets *gadgets; /* known places in files, shared by a tree; NULL: none kept */
	uint64_t borrowed_us;	 /* since when it stands still: borrow.h */
	bool borrow_hurry;	 /* ... and our priority is raised for so long */
	struct target *parent;	 /* build_child: who gets the SIGCHLD of its death */
};

/* Opens /proc/PID and a pidfd; fills pid, vpid, ppid, comm, state. ERR_GONE if there is no such. */
MUST_USE int target_open(pid_t pid, struct target **ret, struct err *err);
void target_free(struct target *t); /* closes; accepts NULL; doesn't detach */
#define target_leader(t) ((t)->threads[0])

/* Reads/writes memory from outside. All of it or an error (ERR_GONE, ERR_SYS). */
MUST_USE int target_read(const struct target *t, raddr_t from, void *to, size_t len,
			 struct err *err);
MUST_USE int target_write(const struct target *t, raddr_t to, const void *from, size_t len,
			  struct err *err);
/* The same through /proc/PID/mem, which ignores page protection (FOLL_FORCE). */
MUST_USE int target_peek(const struct target *t, raddr_t from, void *to, size_t len,
			 struct err *err);
MUST_USE int target_poke(const struct target *t, raddr_t to, const void *from, size_t len,
			 struct err *err);
