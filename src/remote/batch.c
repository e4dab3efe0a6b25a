/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Batches: the agent's side is arch/x86_64/agent.S.
 *
 * A round trip is: write calls, data and the slot's head with one process_vm_writev (the head last,
 * its `seq` makes the batch valid), resume, wait for the agent's signal, read results and data
 * with one process_vm_readv. The signal may also come from outside (somebody resizes a terminal):
 * `done` in the head tells whether the batch has ended.
 */
#include "remote/batch.h"

#include "base/arena.h"
#include "base/auto.h"
#include "kernel/sys.h"
#include "kernel/uapi/ptrace.h"
#include "remote/scratch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CALLS_MAX 1000

_Static_assert(CALLS_MAX *CALL_SIZE <= SCRATCH_CALLS_SIZE, "room for calls");

struct batch {
	struct target_thread *th;
	struct agent_call *calls;
	size_t ncalls, calls_cap;
	uint8_t *data;
	size_t len, data_cap;
	uint64_t seq;
	bool started;
};

struct batch *batch_new(struct target_thread *th)
{
	struct batch *b = xcalloc(1, sizeof(*b));

	b->th = th;
	return b;
}

void batch_free(struct batch *b)
{
	if (!b)
		return;
	free(b->calls);
	free(b->data);
	free(b);
}

void batch_reset(struct batch *b)
{
	b->ncalls = b->len = 0;
}

static size_t aligned(size_t len)
{
	return (len + 15) & ~(size_t)15;
}

bool batch_has_room(const struct batch *b, size_t calls, size_t bytes)
{
	return b->ncalls + calls <= CALLS_MAX && b->len + aligned(bytes) <= SCRATCH_DATA_SIZE;
}

/* Running over the limits is a mistake of the caller, who has batch_has_room(). */
static void must_have_room(const struct batch *b, size_t calls, size_t bytes)
{
	if (!batch_has_room(b, calls, bytes))
		abort();
}

size_t batch_call_args(struct batch *b, long nr, const uint64_t args[6])
{
	struct agent_call *c;

	must_have_room(b, 1, 0);
	if (b->ncalls == b->calls_cap) {
		b->calls_cap = b->calls_cap ? b->calls_cap * 2 : 16;
		b->calls = xrealloc(b->calls, b->calls_cap, sizeof(*b->calls));
	}
	c = &b->calls[b->ncalls];
	*c = (struct agent_call){.nr = (uint64_t)nr};
	memcpy(c->args, args, sizeof(c->args));
	return b->ncalls++;
}

static void arg_load(struct batch *b, size_t i, int arg, int shift, uint64_t at)
{
	b->calls[i].args[arg] = at;
	b->calls[i].flags |= 1ULL << (shift + arg);
}

void batch_arg_ret(struct batch *b, size_t i, int arg, size_t from)
{
	uint64_t calls = scratch_at(b->th->target->scratch, SCRATCH_CALLS).va;

	arg_load(b, i, arg, CALL_LOAD64_SHIFT, calls + from * CALL_SIZE + CALL_RET);
}

void batch_arg_load32(struct batch *b, size_t i, int arg, raddr_t at)
{
	arg_load(b, i, arg, CALL_LOAD32_SHIFT, at.va);
}

void batch_arg_take32(struct batch *b, size_t i, int arg, raddr_t at)
{
	arg_load(b, i, arg, CALL_LOAD32_SHIFT, at.va);
	b->calls[i].flags |= 1ULL << CALL_TAKE_BIT;
}

void batch_must(struct batch *b, size_t i)
{
	b->calls[i].flags |= 1ULL << CALL_MUST_BIT;
}

raddr_t batch_space(struct batch *b, size_t len)
{
	size_t at = b->len;

	must_have_room(b, 0, len);
	len = aligned(len);
	if (b->len + len > b->data_cap) {
		b->data_cap = MAX(b->data_cap * 2, MAX(b->len + len, (size_t)1024));
		b->data = xrealloc(b->data, b->data_cap, 1);
	}
	memset(b->data + at, 0, len);
	b->len += len;
	return scratch_at(b->th->target->scratch, SCRATCH_DATA + at);
}

raddr_t batch_put(struct batch *b, const void *data, size_t len)
{
	raddr_t at = batch_space(b, len);

	memcpy(batch_data(b, at), data, len);
	return at;
}

raddr_t batch_str(struct batch *b, const char *s)
{
	return batch_put(b, s, strlen(s) + 1);
}

void *batch_data(struct batch *b, raddr_t at)
{
	return b->data + (at.va - scratch_at(b->th->target->scratch, SCRATCH_DATA).va);
}

static int io_failed(const struct batch *b, ssize_t n, const char *what, struct err *err)
{
	const struct target *t = b->th->target;

	if (n == -ESRCH)
		return err_gone(err, "pid %d (%s): died (%s)", t->pid, t->comm, what);
	return err_sys(err, n < 0 ? (int)n : -EFAULT, "pid %d (%s): %s", t->pid, t->comm, what);
}

static int batch_send(struct batch *b, struct err *err)
{
	const struct target *t = b->th->target;
	struct scratch *s = t->scratch;
	struct agent_head head = {
		.ncalls = b->ncalls,
		.calls = scratch_at(s, SCRATCH_CALLS).va,
		.tgid = (uint64_t)t->vpid,
		.tid = (uint64_t)b->th->vtid,
		.signo = (uint64_t)s->signo,
		.seq = b->seq = ++s->seq,
	};
	size_t head_len = sizeof(head) - HEAD_NCALLS;
	struct iovec local[3] = {
		{b->calls, b->ncalls * CALL_SIZE}, {b->data, b->len}, {&head.ncalls, head_len}};
	struct iovec remote[3] = {
		{(void *)scratch_at(s, SCRATCH_CALLS).va, local[0].iov_len},
		{(void *)scratch_at(s, SCRATCH_DATA).va, local[1].iov_len},
		{(void *)scratch_at(s, SCRATCH_SLOT(b->th->slot) + HEAD_NCALLS).va, head_len},
	};
	ssize_t n;

	for (size_t i = 0; i < b->ncalls; i++)
		b->calls[i].ret = -ECANCELED;
	n = sys_vm_writev(t->pid, local, 3, remote, 3);
	if (n != (ssize_t)(local[0].iov_len + local[1].iov_len + head_len))
		return io_failed(b, n, "write a batch", err);
	return 0;
}

/* 1 with the results, 0 if the batch hasn't ended. */
static int batch_receive(struct batch *b, struct err *err)
{
	const struct target *t = b->th->target;
	struct scratch *s = t->scratch;
	uint64_t done;
	struct iovec local[3] = {
		{&done, sizeof(done)}, {b->calls, b->ncalls * CALL_SIZE}, {b->data, b->len}};
	struct iovec remote[3] = {
		{(void *)scratch_at(s, SCRATCH_SLOT(b->th->slot) + HEAD_DONE).va, sizeof(done)},
		{(void *)scratch_at(s, SCRATCH_CALLS).va, local[1].iov_len},
		{(void *)scratch_at(s, SCRATCH_DATA).va, local[2].iov_len},
	};
	ssize_t n = sys_vm_readv(t->pid, local, 3, remote, 3);

	if (n != (ssize_t)(sizeof(done) + local[1].iov_len + local[2].iov_len))
		return io_failed(b, n, "read results of a batch", err);
	return done == b->seq;
}

/* What the agent does with arguments that are references, for calls made one by one. */
static int args_resolve(const struct batch *b, struct agent_call *c, struct err *err)
{
	const struct target *t = b->th->target;
	uint64_t calls = scratch_at(t->scratch, SCRATCH_CALLS).va;

	for (int i = 0; i < 6; i++) {
		bool l64 = c->flags >> (CALL_LOAD64_SHIFT + i) & 1;
		bool l32 = c->flags >> (CALL_LOAD32_SHIFT + i) & 1;
		uint64_t at = c->args[i], value = 0;

		if (l64 && at >= calls && at < calls + SCRATCH_CALLS_SIZE) {
			c->args[i] = (uint64_t)b->calls[(at - calls) / CALL_SIZE].ret;
			continue;
		}
		if (!l64 && !l32)
			continue;
		TRY(target_read(t, raddr(at), &value, l64 ? 8 : 4, err));
		if (c->flags >> CALL_TAKE_BIT & 1)
			TRY(target_write(t, raddr(at), &(uint32_t){UINT32_MAX}, 4, err));
		c->args[i] = value;
	}
	return 0;
}

static bool is_error(int64_t ret)
{
	return ret < 0 && ret >= -4095;
}

/* See scratch.c, single_call(): slower, for targets with seccomp, or without a free signal. */
static int batch_run_singly(struct batch *b, struct err *err)
{
	struct target *t = b->th->target;
	raddr_t data = scratch_at(t->scratch, SCRATCH_DATA);
	struct call_site site = {.ip = scratch_single(t->scratch)};

	site.frame = scratch_at(t->scratch, SCRATCH_SLOT(b->th->slot) + SCRATCH_FRAME);
	site.sp = site.frame.va + 8;
	if (b->len)
		TRY(target_write(t, data, b->data, b->len, err));
	for (size_t i = 0; i < b->ncalls; i++)
		b->calls[i].ret = -ECANCELED;
	for (size_t i = 0; i < b->ncalls; i++) {
		struct agent_call *c = &b->calls[i];

		TRY(args_resolve(b, c, err));
		TRY(single_call(b->th, &site, (long)c->nr, c->args, &c->ret, err));
		call_log(b->th, c);
		if (is_error(c->ret) && c->flags >> CALL_MUST_BIT & 1)
			break;
	}
	return b->len ? target_read(t, data, b->data, b->len, err) : 0;
}

int batch_start(struct batch *b, struct err *err)
{
	struct target_thread *th = b->th;
	struct scratch *s = th->target->scratch;

	if (!th->entered || !s || s->running)
		return err_bug(err, "pid %d (%s): thread %d can't run a batch now", th->target->pid,
			       th->target->comm, th->tid);
	if (b->ncalls == 0)
		return 0;
	TRY(agent_take(th, err));
	if (!s->signo)
		return batch_run_singly(b, err);
	TRY(batch_send(b, err));
	TRY(thread_resume(th, RESUME_CONT, 0, err));
	s->running = b;
	b->started = true;
	return 0;
}

/* Did this stop end the batch? 1 (results are there) or 0. Foreign signals are kept. */
static int batch_ended(struct batch *b, const struct stop *stop, struct err *err)
{
	const struct target *t = b->th->target;
	struct scratch *s = t->scratch;
	siginfo_t info;

	if (stop->kind != STOP_SIGNAL)
		return 0; /* a trap or group-stop that was on its way: run on */
	if (stop->signo != s->signo) {
		TRY(signal_hold(b->th, stop->signo, err));
		return 0;
	}
	TRY(thread_ptrace(b->th, PTRACE_GETSIGINFO, "PTRACE_GETSIGINFO", 0,
			  (uint64_t)(uintptr_t)&info, err));
	if (info.si_code != SI_TKILL || info.si_pid != t->vpid)
		TRY(signal_hold(b->th, stop->signo, err));
	return batch_receive(b, err);
}

int batch_wait(struct batch *b, struct err *err)
{
	struct scratch *s = b->th->target->scratch;
	struct stop stop;
	int r;

	if (!b->started)
		return 0;
	b->started = false;
	s->running = NULL;
	for (;;) {
		TRY(thread_wait(b->th, &stop, err));
		r = batch_ended(b, &stop, err);
		if (r != 0)
			break;
		TRY(thread_resume(b->th, RESUME_CONT, stop_passes(&stop), err));
	}
	TRY(r);
	for (size_t i = 0; i < b->ncalls; i++)
		call_log(b->th, &b->calls[i]);
	return 0;
}

int batch_run(struct batch *b, struct err *err)
{
	TRY(batch_start(b, err));
	return batch_wait(b, err);
}

size_t batch_count(const struct batch *b)
{
	return b->ncalls;
}

int64_t batch_ret(const struct batch *b, size_t i)
{
	return b->calls[i].ret;
}

int batch_expect(const struct batch *b, size_t i, struct err *err)
{
	const struct target *t = b->th->target;
	char text[CALL_TEXT];

	if (!is_error(b->calls[i].ret))
		return 0;
	return err_sys(err, (int)b->calls[i].ret, "pid %d (%s): %s", t->pid, t->comm,
		       call_format(&b->calls[i], text));
}

int batch_expect_all(const struct batch *b, struct err *err)
{
	for (size_t i = 0; i < b->ncalls; i++)
		if (b->calls[i].flags >> CALL_MUST_BIT & 1)
			TRY(batch_expect(b, i, err));
	return 0;
}

int remote_call_args(struct target_thread *th, long nr, const uint64_t args[6], int64_t *ret,
		     struct err *err)
{
	auto_batch struct batch *b = batch_new(th);
	size_t i = batch_call_args(b, nr, args);

	TRY(batch_run(b, err));
	*ret = batch_ret(b, i);
	return 0;
}
