/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of task/ share: the table of properties and the structs they work on.
 *
 * A property of a process or thread is one file and one row of parts.c. At a dump it first
 * appends its in-thread calls to the thread's one batch (`ask`), and after the batch has run it
 * fills its fields of the record (`take`), asking the kernel from outside for the rest. At a
 * restore, `load` turns the record into our own validated struct, `able` compares it with this
 * machine, and `restore` and `late` append calls to the thread's batch or act from outside.
 */
#pragma once

#include "base/auto.h"
#include "base/vec.h"
#include "remote/batch.h"
#include "task/task.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <time.h>

typedef struct CoreEntry CoreEntry;
typedef struct TaskCoreEntry TaskCoreEntry;
typedef struct ThreadCoreEntry ThreadCoreEntry;
typedef struct SeccompEntry SeccompEntry;
typedef struct SignalQueueEntry SignalQueueEntry;

#define SIG_MAX		  64  /* _NSIG */
#define SIGINFO_LEN	  128 /* SI_MAX_SIZE */
#define SIGACT_COUNT	  62  /* all but SIGKILL and SIGSTOP */
#define KERNEL_SIGSET_LEN 8
#define CAP_COUNT	  64

/* struct sigaction of the kernel, as rt_sigaction(2) takes it; the C library's is another one. */
struct ksigaction {
	uint64_t handler;
	uint64_t flags;
	uint64_t restorer;
	uint64_t mask;
};

/* Credentials of a thread; capability sets as 64-bit masks. Ids as the thread itself sees them. */
struct creds {
	uint32_t uid, euid, suid, fsuid;
	uint32_t gid, egid, sgid, fsgid;
	uint32_t ngroups;
	uint32_t *groups;
	uint64_t inh, prm, eff, bnd, amb;
	uint32_t secbits;
	bool no_new_privs;
};

struct sigqueue {
	size_t n;
	uint8_t (*info)[SIGINFO_LEN]; /* raw siginfo_t, in queue order */
};

struct sched {
	bool set;
	int nice;
	int policy; /* with SCHED_RESET_ON_FORK */
	int prio;   /* FIFO and RR only */
};

struct rseq_reg {
	uint64_t ptr; /* 0: not registered */
	uint32_t len, sig;
	uint64_t cs; /* critical section to go on in; 0: none */
};

struct seccomp_filter {
	const void *insns;
	uint16_t n;
	uint32_t flags; /* SECCOMP_FILTER_FLAG_* */
	int64_t prev;	/* the next younger one, an index; -1: it is the youngest */
};
struct seccomp_chain {
	size_t n;
	const struct seccomp_filter **filters; /* oldest first */
	bool tsync;			       /* belongs to all threads of the process */
};

struct ptimer {
	int id, clock, signo, notify;
	uint64_t value; /* sigval */
	uint32_t overrun;
	pid_t tid; /* SIGEV_THREAD_ID: who is notified */
	struct itimerspec left;
};

struct rlim {
	uint64_t cur, max;
};

/* ------------------------------------------------------------------ dump */

/* Where the answers of one thread's batch will be found. Each member belongs to one part. */
struct asked {
	raddr_t sas, tid_addr, pdeath, comm, subreaper;
	raddr_t sigacts, rlimits, itimers;
	size_t personality, membarrier, secbits;
	uint64_t soonest_ns; /* when the first real-time timer expires, from the answer on */
};

/* Of a timer that runs while the process doesn't: UINT64_MAX in `soonest_ns` means none. */
static inline void asked_expiry(struct asked *a, int64_t sec, int64_t nsec)
{
	uint64_t ns = (uint64_t)nsec;

	if ((sec || nsec) && sec < 1000 && (uint64_t)sec * 1000000000 + ns < a->soonest_ns)
		a->soonest_ns = (uint64_t)sec * 1000000000 + ns;
}

/* One thread while it is being dumped. */
struct dthread {
	struct tasks *ts;
	struct target *t;
	struct target_thread *th;
	bool leader;
	struct arena *a;
	struct batch *b; /* its one batch; answers are readable in `take` */
	struct asked asked;
	const char *status; /* text of /proc/PID/task/TID/status */
	CoreEntry *core;
	TaskCoreEntry *tc; /* leaders only */
	ThreadCoreEntry *thread;
	struct dchain *chain; /* seccomp.c */
};

struct tasks {
	const struct img_dir *dir;
	struct arena *a;
	struct arch_cpu *cpu;
	bool has_lsm; /* processes have labels */
	SeccompEntry *seccomp;
};

/* --------------------------------------------------------------- restore */

/* What torpor itself is on this machine: half-made tasks start as copies of it. */
struct machine {
	struct creds creds;
	struct rlim rlim[RLIM_NLIMITS];
	int oom_score_adj;
	int nice;
	uint32_t loginuid;
	unsigned int last_cap;
	uint64_t nr_open; /* no limit of open files may be higher */
};

struct rtasks {
	const struct img_dir *dir;
	struct arena *a;
	struct machine m;
	struct arch_cpu *cpu;
	size_t nfilters;
	struct seccomp_filter *filters;
};

struct rthread {
	struct rtask *rt;
	uint32_t vtid;
	bool leader;
	struct arch_core *cpu; /* arch/x86_64 */
	uint64_t clear_tid_addr;
	uint64_t sigmask;
	char comm[16];
	struct creds *creds; /* NULL: an old image, inherited */
	struct sched sched;
	stack_t sas;
	bool has_sas;
	uint64_t robust, robust_len;
	struct rseq_reg rseq;
	int pdeath_sig;
	struct sigqueue queue; /* private */
	int seccomp_mode;
	struct seccomp_chain chain;
};

struct rtask_priv {
	struct rtasks *ts;
	uint32_t personality;
	bool has_sigacts;
	struct ksigaction sigacts[SIG_MAX + 1]; /* by number */
	struct sigqueue queue;			/* shared */
	struct itimerval itimers[3];
	size_t nptimers;
	struct ptimer *ptimers; /* sorted by id */
	size_t nrlimits;
	struct rlim rlimits[RLIM_NLIMITS];
	bool has_loginuid, has_oom;
	uint32_t loginuid;
	int oom_score_adj;
	uint32_t membarrier;
};

/* One thread while it is being restored. */
struct rstep {
	struct target *t;
	struct target_thread *th;
	const struct rtask *rt;
	const struct rtask_priv *p;
	const struct rthread *r;
	struct batch *b;
};

/* Runs what is in the batch, unless there is room for so many more calls and bytes. */
MUST_USE int step_room(struct rstep *s, size_t calls, size_t bytes, struct err *err);
/* Runs what is in the batch; all its calls must succeed. */
MUST_USE int step_flush(struct rstep *s, struct err *err);
/* Appends a call that must succeed. */
#define step_call(s, nr, ...) batch_must((s)->b, batch_call((s)->b, (nr), __VA_ARGS__))

/* ------------------------------------------------------------- the table */

struct task_part {
	const char *name;
	bool leader_only; /* a property of the process */
	/* A live process that isn't frozen: what would stop a dump and can be seen from outside? */
	int (*check)(const struct target *t, struct err *err);
	/* The thread is entered. At most 200 calls and 16 KiB each. */
	int (*ask)(struct dthread *d, struct err *err);
	int (*take)(struct dthread *d, struct err *err);
	/* Validates this part's fields. r->rt and r->rt->priv exist; the leader comes first. */
	int (*load)(struct rthread *r, const CoreEntry *core, struct err *err);
	int (*able)(const struct rthread *r, const struct machine *m, struct err *err);
	/* Before and after the address space gets its last touches; see rtask_restore(_late). */
	int (*restore)(struct rstep *s, struct err *err);
	int (*late)(struct rstep *s, struct err *err);
};

extern const struct task_part *const task_parts[]; /* NULL-terminated, in restore order */

extern const struct task_part cpu_part, comm_part, sched_part, oom_part, loginuid_part;
extern const struct task_part personality_part, rlimit_part, subreaper_part, membarrier_part;
extern const struct task_part robust_part, tidaddr_part, rseq_part, sigstack_part, sigact_part;
extern const struct task_part sigmask_part, sigqueue_part, seccomp_part, creds_part, lsm_part;
extern const struct task_part itimer_part, ptimer_part, pdeath_part;
