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

static int send_fds(int sock, const int *fds, size_t n)
{
	union {
		struct cmsghdr head;
		char buf[CMSG_SPACE(FDS_PER_MESSAGE * sizeof(int))];
	} control = {0};
	char byte = 0;
	struct iovec iov = {&byte, 1};
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = CMSG_SPACE(n * sizeof(int)),
	};

	control.head.cmsg_level = SOL_SOCKET;
	control.head.cmsg_type = SCM_RIGHTS;
	control.head.cmsg_len = CMSG_LEN(n * sizeof(int));
	memcpy(CMSG_DATA(&control.head), fds, n * sizeof(int));
	return sendmsg(sock, &msg, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* What recvmsg() needs, in one piece of target memory. */
struct receive_area {
	struct msghdr msg;
	struct iovec iov;
	uint64_t byte;
	struct {
		struct cmsghdr head;
		int fds[FDS_PER_MESSAGE + 1];
	} control;
};
_Static_assert(offsetof(struct receive_area, control.fds) -
			       offsetof(struct receive_area, control) ==
		       CMSG_LEN(0),
	       "descriptors follow the head");

static void receive_area_fill(struct receive_area *a, raddr_t at, size_t n)
{
	memset(a, 0, sizeof(*a));
	a->iov.iov_base = (void *)(at.va + offsetof(struct receive_area, byte));
	a->iov.iov_len = 1;
	a->msg.msg_iov = (void *)(at.va + offsetof(struct receive_area, iov));
	a->msg.msg_iovlen = 1;
	a->msg.msg_control = (void *)(at.va + offsetof(struct receive_area, control));
	a->msg.msg_controllen = CMSG_SPACE(n * sizeof(int));
	for (size_t i = 0; i < ARRAY_SIZE(a->control.fds); i++)
		a->control.fds[i] = -1;
}

/* How many descriptors have arrived. */
static size_t received(const struct receive_area *a)
{
	if (a->msg.msg_controllen < CMSG_LEN(sizeof(int)) ||
	    a->control.head.cmsg_type != SCM_RIGHTS || a->control.head.cmsg_len < CMSG_LEN(0))
		return 0;
	return (a->control.head.cmsg_len - CMSG_LEN(0)) / sizeof(int);
}

/* The part of the shared page behind the cleanup list. */
struct lend_area {
	int pair[2];
	struct receive_area receive;
};
#define LEND_OFFSET 0xa00
_Static_assert(sizeof(struct agent_cleanup) <= LEND_OFFSET, "cleanup list and lend area");
_Static_assert(LEND_OFFSET + sizeof(struct lend_area) <= SCRATCH_SHARED_SIZE, "lend area");

static struct agent_call close_of(uint64_t at)
{
	return (struct agent_call){
		.nr = SYS_close, .args = {at}, .flags = 1ULL << CALL_LOAD32_SHIFT};
}

struct lending {
	struct target *t;
	raddr_t area;
	struct agent_call close_pair[2], close_got;
	struct tfd pair[2];
	int ours; /* our copy of pair[0] */
};

static int lend_prepare(struct lending *l, struct target *t, struct err *err)
{
	struct lend_area area = {.pair = {-1, -1}};

	*l = (struct lending){.t = t, .ours = -EBADF};
	l->area = scratch_at(t->scratch, SCRATCH_SHARED + LEND_OFFSET);
	l->close_pair[0] = close_of(l->area.va);
	l->close_pair[1] = close_of(l->area.va + sizeof(int));
	l->close_got = close_of(l->area.va + offsetof(struct lend_area, receive.control.fds));
	receive_area_fill(&area.receive, raddr(l->area.va + offsetof(struct lend_area, receive)),
			  1);
	TRY(target_write(t, l->area, &area, sizeof(area), err));
	t->scratch->keeper = target_leader(t);
	TRY(cleanup_add(t, &l->close_pair[0], err));
	TRY(cleanup_add(t, &l->close_pair[1], err));
	return cleanup_add(t, &l->close_got, err);
}

static int lend_open(struct lending *l, struct err *err)
{
	struct target_thread *th = target_leader(l->t);
	int pair[2];
	int64_t r;

	TRY(remote_call(th, &r, err, SYS_socketpair, AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0,
			l->area.va));
	if (r < 0)
		return err_sys(err, (int)r, "pid %d (%s): socketpair in it", l->t->pid, l->t->comm);
	TRY(target_read(l->t, l->area, pair, sizeof(pair), err));
	l->pair[0].n = pair[0];
	l->pair[1].n = pair[1];
	l->ours = target_get_fd(l->t, l->pair[0], err);
	return l->ours < 0 ? l->ours : 0;
}

static int lend_pass(struct lending *l, int fd, struct tfd *ret, struct err *err)
{
	struct target *t = l->t;
	raddr_t at = raddr(l->area.va + offsetof(struct lend_area, receive));
	struct receive_area area;
	auto_batch struct batch *b = batch_new(target_leader(t));
	int r = send_fds(l->ours, &fd, 1);

	if (r < 0)
		return err_sys(err, r, "send a descriptor to pid %d (%s)", t->pid, t->comm);
	batch_call(b, SYS_recvmsg, (uint64_t)l->pair[1].n, at.va, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	TRY(batch_run(b, err));
	TRY(batch_expect(b, 0, err));
	TRY(target_read(t, at, &area, sizeof(area), err));
	if (received(&area) != 1) /* the kernel drops what it finds no number for */
		return err_sys(err, -EMFILE, "pid %d (%s): give it a descriptor", t->pid, t->comm);
	ret->n = area.control.fds[0];
	return 0;
}

/* The pair goes in any case; what was received stays on the cleanup list, by its number now. */
static int lend_finish(struct lending *l, bool lent, struct tfd got, struct err *err)
{
	struct target *t = l->t;
	struct agent_call close_lent = {.nr = SYS_close, .args = {(uint64_t)got.n}};
	auto_batch struct batch *b = NULL;

	l->ours = fd_close(l->ours);
	if (t->died)
		return err_gone(err, "pid %d (%s): died", t->pid, t->comm);
	if (lent)
		TRY(cleanup_add(t, &close_lent, err));
	TRY(cleanup_remove(t, &l->close_got, err));
	if (l->pair[0].n || l->pair[1].n) {
		b = batch_new(target_leader(t));
		batch_call(b, SYS_close, (uint64_t)l->pair[0].n);
		batch_call(b, SYS_close, (uint64_t)l->pair[1].n);
		TRY(batch_run(b, err));
	}
	TRY(cleanup_remove(t, &l->close_pair[1], err));
	return cleanup_remove(t, &l->close_pair[0], err);
}

int target_lend_fd(struct target *t, int fd, struct tfd *ret, struct err *err)
{
	struct lending l;
	struct tfd got = {-1};
	int r, last;

	if (t->has_seccomp)
		return err_refuse(err, "do it from outside",
				  "pid %d (%s): lend a descriptor to a "
				  "program with a seccomp filter",
				  t->pid, t->comm);
	r = lend_prepare(&l, t, err);
	if (r >= 0)
		r = lend_open(&l, err);
	if (r >= 0)
		r = lend_pass(&l, fd, &got, err);
	last = lend_finish(&l, r >= 0, got, err);
	if (r >= 0 && last >= 0)
		*ret = got;
	return r < 0 ? r : last;
}

int target_return_fd(struct target *t, struct tfd fd, struct err *err)
{
	struct agent_call close_lent = {.nr = SYS_close, .args = {(uint64_t)fd.n}};
	int64_t r;

	TRY(remote_call(target_leader(t), &r, err, SYS_close, (uint64_t)fd.n));
	TRY(cleanup_remove(t, &close_lent, err));
	if (t->scratch->ncleanup == 0)
		t->scratch->keeper = NULL;
	return r < 0 ? err_sys(err, (int)r, "pid %d (%s): close descriptor %d", t->pid, t->comm,
			       fd.n)
		     : 0;
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
	raddr_t at = batch_space(b, sizeof(struct receive_area));
	struct receive_area *area = batch_data(b, at);
	int raw[FDS_PER_MESSAGE], got[FDS_PER_MESSAGE], r;

	for (size_t i = 0; i < n; i++)
		raw[i] = fds[i].fd;
	receive_area_fill(area, at, n);
	r = send_fds(s->mailbox_ours, raw, n);
	if (r < 0)
		return err_sys(err, r, "send %zu descriptors to pid %d", n, t->pid);
	batch_call(b, SYS_recvmsg, (uint64_t)s->mailbox, at.va, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	TRY(batch_run(b, err));
	TRY(batch_expect(b, 0, err));
	if (received(area) != n) {
		err_sys(err, -EMFILE, "pid %d: took %zu of %zu descriptors", t->pid, received(area),
			n);
		return err_hint(err, "raise RLIMIT_NOFILE (ulimit -n) for torpor");
	}
	memcpy(got, area->control.fds, n * sizeof(int));
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
