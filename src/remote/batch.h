/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Remote calls: a list of system calls that a thread of a target runs by itself.
 *
 *	struct batch *b = batch_new(thread);
 *	raddr_t lim = batch_space(b, sizeof(struct rlimit64));
 *	size_t i = batch_call(b, SYS_prlimit64, 0, RLIMIT_CORE, 0, lim.va);
 *	size_t j = batch_call(b, SYS_mmap, 0, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
 *	size_t k = batch_call(b, SYS_munmap, 0, 4096);
 *	batch_arg_ret(b, k, 0, j);                    argument 0 is the result of call j
 *	TRY(batch_run(b, err));                       it happened
 *	TRY(batch_expect(b, i, err));                 and the kernel said yes
 *	const struct rlimit64 *l = batch_data(b, lim);
 *
 * Two results, never mixed: batch_run() says whether the calls happened (the target lives), each
 * batch_ret() what the kernel answered (a value, or a negative errno).
 *
 * A target with seccomp filters gets its calls one by one (ptrace syscall stops, no agent loop),
 * so that our death never leaves it inside calls that its filter would kill it for; callers don't
 * notice, only that it is slower.
 *
 * A batch belongs to one thread; one batch per process runs at a time, batches of different
 * processes may run at once (batch_start, batch_wait).
 */
#pragma once

#include "remote/target.h"

struct batch;

/*
 * Enters: makes the thread ready for batches. First in a process, it maps the scratch area (one
 * remote mmap behind a self-restoring frame); the state of the thread is kept so that leave, or
 * our death, brings it back exactly. Idempotent.
 */
MUST_USE int remote_enter(struct target_thread *th, struct err *err);
/*
 * Looks through the code of a process that may be running for what entering needs, which then is
 * quicker. Nothing depends on it.
 */
void remote_scout(struct target *t);
/* The inverse for one thread: registers, mask and interrupted system call as they were. */
MUST_USE int remote_leave(struct target_thread *th, struct err *err);
/* Leaves all threads and unmaps the scratch area. The target stays seized. */
MUST_USE int remote_leave_all(struct target *t, struct err *err);

/* The thread must be entered. Freed with batch_free (NULL accepted). */
struct batch *batch_new(struct target_thread *th);
void batch_free(struct batch *b);
/* Forgets calls and data, keeps the memory. */
void batch_reset(struct batch *b);
/* Is there room for so many more calls and bytes? One batch: up to 1,000 calls and 128 KiB. */
bool batch_has_room(const struct batch *b, size_t calls, size_t bytes);

/* Appends a call with up to six arguments, missing ones 0; returns its index. */
#define batch_call(b, nr, ...)                                                                     \
	batch_call_args((b), (nr), (const uint64_t[6]){BATCH_ARGS_(__VA_ARGS__)})
size_t batch_call_args(struct batch *b, long nr, const uint64_t args[6]);
/* Argument `arg` of call i is the result of the earlier call `from`. */
void batch_arg_ret(struct batch *b, size_t i, int arg, size_t from);
/* Argument `arg` of call i is the 32-bit value found at `at` when the call is reached. */
void batch_arg_load32(struct batch *b, size_t i, int arg, raddr_t at);
void batch_arg_take32(struct batch *b, size_t i, int arg, raddr_t at); /* and -1 takes its place */
/* If call i fails (negative result) the rest is not run; their ret is -ECANCELED. */
void batch_must(struct batch *b, size_t i);

/* Data in the scratch area: copied in before the run, copied back after it. 16-byte aligned. */
raddr_t batch_put(struct batch *b, const void *data, size_t len);
raddr_t batch_str(struct batch *b, const char *s);
raddr_t batch_space(struct batch *b, size_t len); /* zeroed */
/* Our copy of it (before the run: to fill in; after: the results). */
void *batch_data(struct batch *b, raddr_t at);

MUST_USE int batch_run(struct batch *b, struct err *err);
MUST_USE int batch_start(struct batch *b, struct err *err);
MUST_USE int batch_wait(struct batch *b, struct err *err);

/* How many calls it has. */
size_t batch_count(const struct batch *b);
int64_t batch_ret(const struct batch *b, size_t i);
/* 0 if call i succeeded, else an error naming pid, call, arguments and errno. */
MUST_USE int batch_expect(const struct batch *b, size_t i, struct err *err);
/* batch_expect for every call that was marked with batch_must. */
MUST_USE int batch_expect_all(const struct batch *b, struct err *err);

/* One call, run and its answer in *ret (value or negative errno). */
#define remote_call(th, ret, err, nr, ...)                                                         \
	remote_call_args((th), (nr), (const uint64_t[6]){BATCH_ARGS_(__VA_ARGS__)}, (ret), (err))
MUST_USE int remote_call_args(struct target_thread *th, long nr, const uint64_t args[6],
			      int64_t *ret, struct err *err);

#define BATCH_ARGS_(...) __VA_ARGS__

static inline void auto_batch_(struct batch **b)
{
	batch_free(*b);
}
#define auto_batch __attribute__((cleanup(auto_batch_)))
