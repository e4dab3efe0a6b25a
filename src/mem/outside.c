/* SPDX-License-Identifier: Apache-2.0 */
/* The buffer is filled from many pieces at once (mem/peek.h), and one pwrite() empties it. */
#include "mem/outside.h"

#include "base/arena.h"
#include "base/auto.h"
#include "base/io.h"
#include "image/page_sums.h"
#include "mem/peek.h"

#define PAGE 4096u
/* Stays in the CPU's cache between its filling and emptying. */
#define BUF_PAGES (OUTSIDE_BUF_LEN / PAGE)

struct outside {
	struct peeker peeker;
	int fd;
	struct pagemap_writer *sums;	   /* NULL: nobody wants them from us */
	struct peek_page pages[BUF_PAGES]; /* what is side by side in the file */
	size_t n;
	uint64_t off;
	uint8_t buf[BUF_PAGES * PAGE];
};

struct outside *outside_new(void)
{
	return xcalloc(1, sizeof(struct outside));
}

void outside_free(struct outside *o)
{
	free(o);
}

/* The target stands still: a page that wasn't read is an error, which reading it again tells. */
static int read_all(struct outside *o, struct err *err)
{
	const struct target *t = o->peeker.target;

	if (peek_pages(&o->peeker, o->pages, o->n, o->buf) < 0)
		return err_gone(err, "pid %d (%s): died", t->pid, t->comm);
	for (size_t i = 0; i < o->n; i++)
		if (!o->pages[i].got)
			TRY(target_peek(t, raddr(o->pages[i].va), o->buf + i * PAGE, PAGE, err));
	return 0;
}

/* While the bytes are in the CPU's cache: there is no cheaper moment. */
static void put_sums(struct outside *o)
{
	uint32_t sums[BUF_PAGES];

	for (size_t i = 0; i < o->n; i++)
		sums[i] = page_sum(o->buf + i * PAGE);
	pagemap_wrote_summed(o->sums, o->off, sums, o->n);
}

static int move(struct outside *o, struct err *err)
{
	const struct target *t = o->peeker.target;
	size_t len = o->n * PAGE;
	int r;

	if (!o->n)
		return 0;
	TRY(read_all(o, err));
	r = io_pwrite_full(o->fd, o->buf, len, o->off);
	if (r < 0)
		return err_sys(err, r, "pid %d (%s): writing %zu bytes of pages", t->pid, t->comm,
			       len);
	if (o->sums)
		put_sums(o);
	o->n = 0;
	return 0;
}

int outside_read(struct outside *o, const struct target *t, uint64_t va, size_t len,
		 const uint8_t **ret, struct err *err)
{
	int r;

	for (o->n = 0; o->n < len / PAGE; o->n++)
		o->pages[o->n] = (struct peek_page){.va = va + o->n * PAGE, .readable = true};
	peeker_open(&o->peeker, t);
	r = read_all(o, err);
	peeker_close(&o->peeker);
	*ret = o->buf;
	return r;
}

static int copy_pieces(struct outside *o, const struct mem_piece *pieces, size_t n, struct err *err)
{
	for (size_t i = 0; i < n; i++) {
		const struct mem_piece *p = &pieces[i];

		for (uint64_t done = 0; done < p->len; done += PAGE) {
			if (o->n == BUF_PAGES || (o->n && o->off + o->n * PAGE != p->off + done))
				TRY(move(o, err));
			if (!o->n)
				o->off = p->off + done;
			o->pages[o->n++] =
				(struct peek_page){.va = p->va + done, .readable = p->readable};
		}
	}
	return move(o, err);
}

int outside_copy(struct outside *o, const struct target *t, int fd, const struct mem_piece *pieces,
		 size_t n, struct pagemap_writer *sums, struct err *err)
{
	int r;

	peeker_open(&o->peeker, t);
	o->fd = fd;
	o->sums = sums;
	o->n = 0;
	r = copy_pieces(o, pieces, n, err);
	peeker_close(&o->peeker);
	return r;
}
