/* SPDX-License-Identifier: Apache-2.0 */
/*
 * process_vm_readv() fills the buffer from many pieces at once, one pwrite() empties it. Pieces
 * that it can't read (no read permission, protection keys) come through /proc/PID/mem.
 */
#include "mem/outside.h"

#include "base/auto.h"
#include "base/io.h"
#include "base/vec.h"
#include "kernel/sys.h"

#include <inttypes.h>
#include <limits.h>

/* Stays in the CPU's cache between its filling and emptying. */
#define BUF_LEN (256 * 1024)

/* One filling of the buffer: pieces (or parts of them) that lie side by side in the file. */
struct load {
	struct iovec iov[IOV_MAX];
	size_t n;
	size_t len;
	uint64_t off;
	bool readable;
};

struct outside {
	const struct target *target;
	int fd;
	struct load load;
	uint8_t buf[BUF_LEN];
};

struct outside *outside_new(void)
{
	return xcalloc(1, sizeof(struct outside));
}

void outside_free(struct outside *o)
{
	free(o);
}

static int peek_all(struct outside *o, size_t from, struct err *err)
{
	const struct load *l = &o->load;
	size_t at = 0;

	for (size_t i = 0; i < l->n; i++) {
		size_t end = at + l->iov[i].iov_len;

		if (end > from) {
			size_t skip = from > at ? from - at : 0;

			TRY(target_peek(o->target, raddr((uintptr_t)l->iov[i].iov_base + skip),
					o->buf + at + skip, l->iov[i].iov_len - skip, err));
		}
		at = end;
	}
	return 0;
}

static int move(struct outside *o, struct err *err)
{
	struct load *l = &o->load;
	struct iovec to = {o->buf, l->len};
	ssize_t got = 0;
	int r;

	if (!l->len)
		return 0;
	if (l->readable)
		got = sys_vm_readv(o->target->pid, &to, 1, l->iov, l->n);
	if (got < 0)
		got = 0;
	if ((size_t)got < l->len)
		TRY(peek_all(o, (size_t)got, err));
	r = io_pwrite_full(o->fd, o->buf, l->len, l->off);
	if (r < 0)
		return err_sys(err, r, "pid %d (%s): writing %zu bytes of pages", o->target->pid,
			       o->target->comm, l->len);
	l->n = l->len = 0;
	return 0;
}

static void add(struct load *l, const struct mem_piece *p, uint64_t done, size_t len)
{
	if (!l->n) {
		l->off = p->off + done;
		l->readable = p->readable;
	}
	l->iov[l->n++] = (struct iovec){(void *)(uintptr_t)(p->va + done), len};
	l->len += len;
}

int outside_copy(struct outside *o, const struct target *t, int fd, const struct mem_piece *pieces,
		 size_t n, struct err *err)
{
	struct load *l = &o->load;

	o->target = t;
	o->fd = fd;
	l->n = l->len = 0;
	for (size_t i = 0; i < n; i++) {
		const struct mem_piece *p = &pieces[i];

		for (uint64_t done = 0; done < p->len;) {
			size_t len;

			if (l->n == IOV_MAX || l->len == BUF_LEN ||
			    (l->n &&
			     (l->off + l->len != p->off + done || l->readable != p->readable)))
				TRY(move(o, err));
			len = MIN(p->len - done, BUF_LEN - l->len);
			add(l, p, done, len);
			done += len;
		}
	}
	return move(o, err);
}
