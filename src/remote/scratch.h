/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The scratch area of a target (layout: arch/x86_64/agent.h) and who is in the agent. Shared by
 * enter.c, batch.c, pass_fd.c and build.c; nobody else includes it.
 */
#pragma once

#include "remote/arch/x86_64/agent.h"
#include "remote/arch/x86_64/gadget.h"
#include "remote/arch/x86_64/state.h"
#include "remote/target.h"
#include "remote/wait.h"

#define LENT_MAX 10

struct scratch {
	raddr_t base;
	/* Ends batches, see signal_choose(). 0: calls are made one by one. */
	int signo;
	uint64_t seq;
	/*
	 * A task in the making has no state to come back to and dies with us: no frames, any number
	 * of its threads may be in the agent.
	 */
	bool half_made;
	int mailbox;	  /* ... its end of the mailbox, a descriptor there */
	int mailbox_ours; /* ... and ours, owned by struct build */
	size_t len;
	struct target_thread *slot[SCRATCH_SLOTS]; /* who is in the agent there; or NULL */
	struct target_thread *keeper;		   /* whose slot isn't given away */
	struct batch *running;

	/* For the first and last call: where the target's own memory helps. */
	struct gadget_set gadgets;
	raddr_t spot; /* unused bytes at the bottom of the main stack; 0: none */
	size_t spot_len;
	uint8_t *spot_saved; /* what was there, if the program had used it; or NULL */
	raddr_t leftover;    /* an area of a torpor that died in here; 0: none */

	int lent[LENT_MAX]; /* numbers there, by lend area; -1: free */
	size_t ncleanup;
	struct agent_call cleanup[CLEANUP_MAX];
};

static inline raddr_t scratch_at(const struct scratch *s, uint64_t offset)
{
	return raddr(s->base.va + offset);
}

static inline uint64_t scratch_entry(const struct scratch *s)
{
	return s->base.va;
}

static inline uint64_t scratch_single(const struct scratch *s)
{
	return s->base.va + (uint64_t)(agent_single - agent_start);
}

/* Where one call is made between two syscall stops. */
struct call_site {
	uint64_t ip;   /* of a `syscall` instruction */
	raddr_t frame; /* brings the thread back if we die before the call; 0: none */
	uint64_t sp;   /* during the call and behind it: what follows brings it back as well */
};

/*
 * One call by a stopped thread; it is left in the syscall-exit-stop. Restarts of interrupted calls
 * are done here. *ret: value or negative errno.
 */
MUST_USE int single_call(struct target_thread *th, const struct call_site *site, long nr,
			 const uint64_t args[6], int64_t *ret, struct err *err);

/*
 * A signal that came to a thread in the agent: kept for later (SIGSTOP passes, see wait.h), or an
 * error if it says that the agent went wrong.
 */
MUST_USE int signal_hold(struct target_thread *th, int signo, struct err *err);

/* Puts the thread into the agent, idle; others may be put back for it. Idempotent. */
MUST_USE int agent_take(struct target_thread *th, struct err *err);
/* Back to its own registers and mask; it stays entered. Idempotent. */
MUST_USE int agent_park(struct target_thread *th, struct err *err);

/* What runs in a target that lost its tracer: adds a call, or removes the last equal one. */
MUST_USE int cleanup_add(struct target *t, const struct agent_call *call, struct err *err);
MUST_USE int cleanup_remove(struct target *t, const struct agent_call *call, struct err *err);

/* Copies the agent's code to a scratch area. */
MUST_USE int agent_install(const struct target *t, raddr_t base, struct err *err);

/* One line of the debug log for a call. */
void call_log(const struct target_thread *th, const struct agent_call *call);
/* "mmap(0x0, 0x1000, 0x3)" into buf: a name, and up to six numbers. */
#define CALL_NAME_MAX 32
#define CALL_TEXT     192
const char *call_format(const struct agent_call *call, char buf[CALL_TEXT]);
