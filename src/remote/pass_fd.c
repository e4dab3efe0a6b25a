/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Descriptors in and out of targets.
 *
 * Out: pidfd_getfd(), nothing runs in the target. In: SCM_RIGHTS through a pair of sockets. For a
 * dump the target makes the pair itself (one end is fetched with pidfd_getfd), so that it works in
 * any network and mount namespace and has no name; for a restore every task holds one end of the
 * build's mailbox.
 *
 * Numbers that the target gets for a moment or for longer are closed by the agent's cleanup list if
 * we die. They are read from shared memory when the list runs, -1 as long as there is none.
 */
#include "remote/pass_fd.h"

#include "base/auto.h"
#include "base/io.h"
#include "kernel/sys.h"
#include "remote/batch.h"
#include "remote/internal.h"
#include "remote/scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#define FDS_PER_MESSAGE 253 /* SCM_MAX_FD */

int target_get_fd(const struct target *t, struct tfd fd, struct err *err)
{
	auto_close int got = sys_pidfd_getfd(t->pidfd, fd.n);
	int dup;

	if (got == -ESRCH)
		return err_gone(err, "pid %d (%s): died (pidfd_getfd)", t->pid, t->comm);
	if (got < 0)
		return err_sys(err, got, "pid %d (%s): pidfd_getfd of descriptor %d", t->pid,
			       t->comm, fd.n);
	if (got >= 3)
		return TAKE_FD(got);
	dup = fd_dup_above(got, 3);
	return dup < 0 ? err_sys(err, dup, "duplicate descriptor %d", got) : dup;
}

/* struct cmsghdr with its data. */
struct rights {
	size_t len;
	int level, type;
	int fds[FDS_PER_MESSAGE + 1];
};
_Static_assert(offsetof(struct rights, fds) == CMSG_LEN(0), "struct rights is a struct cmsghdr");

static int send_fds(int sock, const int *fds, size_t n)
{
	struct rights control = {
		.len = CMSG_LEN(n * sizeof(int)), .level = SOL_SOCKET, .type = SCM_RIGHTS};
	char byte = 0;
	struct iovec iov = {&byte, 1};
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = CMSG_SPACE(n * sizeof(int)),
	};

	memcpy(control.fds, fds, n * sizeof(int));
	return sendmsg(sock, &msg, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* What recvmsg() needs, in one piece of target memory; the descriptors come right behind it. */
struct receiver {
	struct msghdr msg;
	struct iovec iov;
	uint64_t byte;
	size_t len; /* struct cmsghdr */
	int level, type;
};

static void receiver_fill(struct receiver *r, raddr_t at, size_t n)
{
	*r = (struct receiver){.iov.iov_len = 1, .msg.msg_iovlen = 1};
	r->iov.iov_base = (void *)(at.va + offsetof(struct receiver, byte));
	r->msg.msg_iov = (void *)(at.va + offsetof(struct receiver, iov));
	r->msg.msg_control = (void *)(at.va + offsetof(struct receiver, len));
	r->msg.msg_controllen = CMSG_SPACE(n * sizeof(int));
}

/* How many descriptors have arrived. */
static size_t received(const struct receiver *r)
{
	if (r->msg.msg_controllen < CMSG_LEN(sizeof(int)) || r->type != SCM_RIGHTS ||
	    r->len < CMSG_LEN(0))
		return 0;
	return (r->len - CMSG_LEN(0)) / sizeof(int);
}

/*
 * A lent descriptor in the target: the numbers that it has there while it is passed and afterwards,
 * -1 for none. The agent takes a number from here in one step when it closes it, in a batch or
 * when we are gone, so that none is closed twice: it might be another file by then.
 */
struct lend_area {
	int pair[2];
	struct receiver receiver;
	int got[2];
};
#define LEND_OFFSET   0x900
#define LEND_RECEIVER offsetof(struct lend_area, receiver)
#define LEND_GOT      offsetof(struct lend_area, got)
_Static_assert(sizeof(struct agent_cleanup) <= LEND_OFFSET, "cleanup list and lend areas");
_Static_assert(LEND_OFFSET + LENT_MAX * sizeof(struct lend_area) <= EXIT_OFFSET, "lend areas");
_Static_assert(3 * LENT_MAX <= CLEANUP_MAX, "three calls for each lent descriptor");

/* The number at `at` is closed if there is one. */
static struct agent_call close_of(uint64_t at)
{
	return (struct agent_call){.nr = SYS_close,
				   .args = {at},
				   .flags = 1ULL << CALL_LOAD32_SHIFT | 1ULL << CALL_TAKE_BIT};
}

static void batch_close_of(struct batch *b, uint64_t at)
{
	batch_arg_take32(b, batch_call(b, SYS_close, 0), 0, raddr(at));
}

static raddr_t lend_area_at(const struct target *t, int i)
{
	return scratch_at(t->scratch,
			  SCRATCH_SHARED + LEND_OFFSET + (uint64_t)i * sizeof(struct lend_area));
}

static int lend_prepare(struct target *t, int i, struct err *err)
{
	raddr_t at = lend_area_at(t, i);
	struct lend_area area = {.pair = {-1, -1}, .got = {-1, -1}};
	struct agent_call calls[3] = {close_of(at.va), close_of(at.va + sizeof(int)),
				      close_of(at.va + LEND_GOT)};

	receiver_fill(&area.receiver, raddr(at.va + LEND_RECEIVER), 1);
	TRY(target_write(t, at, &area, sizeof(area), err));
	t->scratch->keeper = target_leader(t);
	for (size_t k = 0; k < ARRAY_SIZE(calls); k++)
		TRY(cleanup_add(t, &calls[k], err));
	return 0;
}

/* All numbers in the area are closed, and nothing needs to be cleaned up any more. */
static int lend_end(struct target *t, int i, int64_t *ret_close, struct err *err)
{
	raddr_t at = lend_area_at(t, i);
	uint64_t numbers[3] = {at.va, at.va + sizeof(int), at.va + LEND_GOT};
	auto_batch struct batch *b = batch_new(target_leader(t));

	for (size_t k = 0; k < ARRAY_SIZE(numbers); k++)
		batch_close_of(b, numbers[k]);
	TRY(batch_run(b, err));
	*ret_close = batch_ret(b, 2);
	for (size_t k = ARRAY_SIZE(numbers); k-- > 0;) {
		struct agent_call call = close_of(numbers[k]);

		TRY(cleanup_remove(t, &call, err));
	}
	if (t->scratch->ncleanup == 0)
		t->scratch->keeper = NULL;
	t->scratch->lent[i] = -1;
	return 0;
}

static int lend_send(struct target *t, struct tfd end, int fd, struct err *err)
{
	auto_close int ours = target_get_fd(t, end, err);
	int r = ours < 0 ? ours : send_fds(ours, &fd, 1);

	if (ours < 0)
		return ours;
	return r < 0 ? err_sys(err, r, "send a descriptor to pid %d (%s)", t->pid, t->comm) : 0;
}

static int lend_pass(struct target *t, int i, int fd, struct tfd *ret, struct err *err)
{
	raddr_t at = lend_area_at(t, i);
	auto_batch struct batch *b = batch_new(target_leader(t));
	struct lend_area area;

	batch_call(b, SYS_socketpair, AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, at.va);
	TRY(batch_run(b, err));
	TRY(batch_expect(b, 0, err));
	TRY(target_read(t, at, area.pair, sizeof(area.pair), err));
	TRY(lend_send(t, (struct tfd){area.pair[0]}, fd, err));
	batch_reset(b);
	batch_call(b, SYS_recvmsg, (uint64_t)area.pair[1], at.va + LEND_RECEIVER,
		   MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	batch_close_of(b, at.va);
	batch_close_of(b, at.va + sizeof(int));
	TRY(batch_run(b, err));
	TRY(batch_expect(b, 0, err));
	TRY(target_read(t, at, &area, sizeof(area), err));
	if (received(&area.receiver) != 1) /* the kernel drops what it finds no number for */
		return err_sys(err, -EMFILE, "pid %d (%s): give it a descriptor", t->pid, t->comm);
	ret->n = area.got[0];
	return 0;
}

static int lend_find(const struct target *t, int number)
{
	for (int i = 0; i < LENT_MAX; i++)
		if (t->scratch->lent[i] == number)
			return i;
	return -1;
}

int target_lend_fd(struct target *t, int fd, struct tfd *ret, struct err *err)
{
	struct err ignored = ERR_INIT;
	struct tfd got = {-1};
	int64_t closed;
	int r, i;

	if (t->has_seccomp)
		return err_refuse(
			err, "do it from outside",
			"pid %d (%s): lend a descriptor to a program with a seccomp filter", t->pid,
			t->comm);
	i = lend_find(t, -1);
	if (i < 0)
		return err_bug(err, "pid %d (%s): more than %d lent descriptors", t->pid, t->comm,
			       LENT_MAX);
	r = lend_prepare(t, i, err);
	if (r >= 0)
		r = lend_pass(t, i, fd, &got, err);
	if (r >= 0)
		t->scratch->lent[i] = ret->n = got.n;
	else if (!t->died)
		ignore(lend_end(t, i, &closed, &ignored)); /* the first error counts */
	return r;
}

int target_return_fd(struct target *t, struct tfd fd, struct err *err)
{
	int i = lend_find(t, fd.n);
	int64_t closed;

	if (fd.n < 0 || i < 0)
		return err_bug(err, "pid %d (%s): descriptor %d isn't lent", t->pid, t->comm, fd.n);
	TRY(lend_end(t, i, &closed, err));
	return closed < 0 ? err_sys(err, (int)closed, "pid %d (%s): close descriptor %d", t->pid,
				    t->comm, fd.n)
			  : 0;
}

/*
 * The number is copied to the lend area by the target itself, in the same batch: there is no moment
 * at which our death would leave the descriptor behind.
 */
static int make_noted(struct target *t, int i, long nr, uint64_t arg, struct err *err)
{
	raddr_t number = raddr(lend_area_at(t, i).va + LEND_GOT);
	auto_batch struct batch *b = batch_new(target_leader(t));
	raddr_t to = batch_space(b, sizeof(struct iovec)),
		from = batch_space(b, sizeof(struct iovec));
	struct err ignored = ERR_INIT;
	int64_t closed;
	int fd = -1;

	*(struct iovec *)batch_data(b, to) = (struct iovec){(void *)number.va, sizeof(int)};
	*(struct iovec *)batch_data(b, from) = (struct iovec){
		(void *)(scratch_at(t->scratch, SCRATCH_CALLS).va + CALL_RET), sizeof(int)};
	batch_must(b, batch_call(b, nr, arg));
	batch_call(b, SYS_process_vm_readv, (uint64_t)t->vpid, to.va, 1, from.va, 1);
	if (batch_run(b, err) >= 0 && batch_expect(b, 0, err) >= 0) {
		int there = (int)batch_ret(b, 0);

		/* Once more, for kernels without that call. */
		if (target_write(t, number, &there, sizeof(there), err) >= 0)
			fd = target_get_fd(t, (struct tfd){there}, err);
	}
	if (!t->died && lend_end(t, i, &closed, fd < 0 ? &ignored : err) < 0)
		fd = fd_close(fd);
	return fd < 0 ? err->code : fd;
}

/* One call after the other: see batch.h on filters. */
static int make_singly(struct target *t, long nr, uint64_t arg, struct err *err)
{
	auto_batch struct batch *b = batch_new(target_leader(t));
	struct tfd made;
	int fd;

	batch_call(b, nr, arg);
	TRY(batch_run(b, err));
	TRY(batch_expect(b, 0, err));
	made.n = (int)batch_ret(b, 0);
	fd = target_get_fd(t, made, err);
	batch_reset(b);
	batch_call(b, SYS_close, (uint64_t)made.n);
	if (batch_run(b, fd < 0 ? &(struct err){0} : err) < 0)
		fd = fd_close(fd);
	return fd < 0 ? err->code : fd;
}

int target_make_fd(struct target *t, long nr, uint64_t arg, struct err *err)
{
	int i = lend_find(t, -1);

	/* A half-made task dies with us: there is nothing to be closed then. */
	if (t->has_seccomp || t->exitkill || !t->scratch->signo)
		return make_singly(t, nr, arg, err);
	if (i < 0)
		return err_bug(err, "pid %d (%s): more than %d lent descriptors", t->pid, t->comm,
			       LENT_MAX);
	TRY(lend_prepare(t, i, err));
	return make_noted(t, i, nr, arg, err);
}

static int install_cmp(const void *a, const void *b)
{
	const struct fd_install *x = a, *y = b;

	return (x->num > y->num) - (x->num < y->num);
}

/*
 * Received descriptors take the lowest free numbers r0 < r1 < ..., wanted are w0 < w1 < ..., and as
 * no wanted number is in use, ri <= wi. From the last to the first, each wi is therefore free when
 * its turn comes: a received one that had it has been moved on already.
 */
static int install_move(struct target *t, const struct fd_install *fds, const int *got, size_t n,
			struct err *err)
{
	auto_batch struct batch *b = batch_new(target_leader(t));

	for (size_t i = n; i-- > 0;) {
		const struct fd_install *f = &fds[i];
		size_t k;

		if (got[i] > f->num)
			return err_bug(err, "pid %d: descriptor %d is in use", t->pid, f->num);
		if (got[i] == f->num && f->cloexec)
			continue; /* it came so */
		if (got[i] == f->num) {
			k = batch_call(b, SYS_fcntl, (uint64_t)f->num, F_SETFD, 0);
			batch_must(b, k);
			continue;
		}
		k = batch_call(b, SYS_dup3, (uint64_t)got[i], (uint64_t)f->num,
			       f->cloexec ? O_CLOEXEC : 0);
		batch_must(b, k);
		batch_call(b, SYS_close, (uint64_t)got[i]);
	}
	TRY(batch_run(b, err));
	if (batch_expect_all(b, err) < 0)
		return err_hint(err, "is RLIMIT_NOFILE of torpor high enough?");
	return 0;
}

static int install_some(struct target *t, const struct fd_install *fds, size_t n, struct err *err)
{
	const struct scratch *s = t->scratch;
	auto_batch struct batch *b = batch_new(target_leader(t));
	size_t len = sizeof(struct receiver) + FDS_PER_MESSAGE * sizeof(int);
	raddr_t at = batch_space(b, len);
	struct receiver *receiver = batch_data(b, at);
	int raw[FDS_PER_MESSAGE], got[FDS_PER_MESSAGE], r;

	for (size_t i = 0; i < n; i++)
		raw[i] = fds[i].fd;
	receiver_fill(receiver, at, n);
	r = send_fds(s->mailbox_ours, raw, n);
	if (r < 0)
		return err_sys(err, r, "send %zu descriptors to pid %d", n, t->pid);
	batch_call(b, SYS_recvmsg, (uint64_t)s->mailbox, at.va, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	TRY(batch_run(b, err));
	TRY(batch_expect(b, 0, err));
	if (received(receiver) != n) {
		err_sys(err, -EMFILE, "pid %d: took %zu of %zu descriptors", t->pid,
			received(receiver), n);
		return err_hint(err, "raise RLIMIT_NOFILE (ulimit -n) for torpor");
	}
	memcpy(got, receiver + 1, n * sizeof(int));
	return install_move(t, fds, got, n, err);
}

int target_install_fds(struct target *t, struct fd_install *fds, size_t n, struct err *err)
{
	if (!t->scratch || !t->scratch->half_made)
		return err_bug(err, "pid %d: descriptors are installed in half-made tasks only",
			       t->pid);
	qsort(fds, n, sizeof(*fds), install_cmp);
	for (size_t i = 0; i < n; i += FDS_PER_MESSAGE)
		TRY(install_some(t, fds + i, MIN(n - i, (size_t)FDS_PER_MESSAGE), err));
	return 0;
}
