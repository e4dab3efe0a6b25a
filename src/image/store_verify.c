/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every page that is in use, once, whoever has it, against the sum that was made at its dump.
 * Levels that have no sums are passed over: images of another engine.
 *
 * The pages are looked at where the store has mapped them, and where the restore takes them from:
 * what is read here needn't be read again. MADV_POPULATE_READ makes of a bad place on the disk an
 * error where the access alone would be a SIGBUS.
 */
#include "image/store.h"

#include "base/auto.h"
#include "base/clock.h"
#include "base/log.h"
#include "image/check_each.h"
#include "image/page_sums.h"
#include "image/store_priv.h"

#include <endian.h>
#include <inttypes.h>
#include <sys/mman.h>
#include <time.h>

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22 /* since 5.14 */
#endif

#define PAGE	 4096u
#define JOB_LEN	 (8u << 20) /* bytes */
#define READ_LEN (1u << 20)
/* What is larger isn't kept mapped until it is restored: its page tables would take MiBs. */
#define KEEP_LEN  (UINT64_C(6) << 30)
#define TABLE_LEN (UINT64_C(2) << 20)

struct verify;

/* Some of the ranges, whole ones or parts: from byte `skip` of the first one on. */
struct verify_job {
	const struct verify *v;
	size_t first;
	uint64_t skip, len;
};

struct verify {
	struct page_store *s;
	struct store_range *ranges;
	size_t n;
	struct page_sums_table *tables; /* one for each range */
	VEC(struct verify_job) jobs;
	bool forget; /* there is too much to keep it mapped */
};

/* ---------------------------------------------------------------- messages */

/* The first of the tasks and objects that have the page. */
static const struct page_map *user_of(const struct page_store *s, const uint8_t *page,
				      uint64_t *ret_vaddr)
{
	vec_foreach (im, &s->levels.data[0].images) {
		const struct page_map *m = (*im)->map;

		for (size_t i = 0; m && i < m->n; i++) {
			const struct page_piece *p = &m->pieces[i];

			if (page < p->src || page >= p->src + p->npages * PAGE)
				continue;
			*ret_vaddr = p->vaddr + (uint64_t)(page - p->src);
			return m;
		}
	}
	return NULL;
}

static int wrong_page(const struct page_store *s, const struct store_image *im, uint64_t off,
		      struct err *err)
{
	uint64_t vaddr = 0;
	const struct page_map *m = user_of(s, im->pm->pages + off, &vaddr);

	err_input(err,
		  "%s: the page at byte %" PRIu64
		  " has changed since it was dumped (%s at 0x%" PRIx64 ")",
		  im->pm->pages_name, off, m ? m->name : im->pm->name, vaddr);
	err_hint(err, "copy the images again, whole, or take another dump; --no-verify restores "
		      "without comparing checksums");
	return store_err_in(s, im->level, err);
}

static int unreadable(const struct page_store *s, const struct store_image *im, uint64_t off,
		      int code, struct err *err)
{
	err_sys(err, code == -EFAULT ? -EIO : code, "%s: read the pages at byte %" PRIu64,
		im->pm->pages_name, off);
	return store_err_in(s, im->level, err);
}

/* -------------------------------------------------------------------- work */

/* EINVAL: a kernel without it; the access itself reads then. */
static int populate(const uint8_t *p, uint64_t len)
{
	if (madvise((void *)(uintptr_t)p, len, MADV_POPULATE_READ) == 0 || errno == EINVAL)
		return 0;
	return -errno;
}

static int verify_part(const struct verify *v, size_t i, uint64_t off, uint64_t len,
		       struct err *err)
{
	const struct store_image *im = v->ranges[i].image;
	const uint32_t *sums = v->tables[i].sums;
	int r = populate(im->pm->pages + off, len);

	if (r < 0)
		return unreadable(v->s, im, off, r, err);
	for (uint64_t at = off; at < off + len; at += PAGE)
		if (page_sum(im->pm->pages + at) != le32toh(sums[at / PAGE]))
			return wrong_page(v->s, im, at, err);
	return 0;
}

/* From where the first page table begins: those that all pages of are dropped are freed. */
static void forget(const struct store_range *r, uint64_t off, uint64_t len)
{
	uintptr_t all = (uintptr_t)r->image->pm->pages + r->off, from = all + off;
	uintptr_t back = MAX(all, from / TABLE_LEN * TABLE_LEN);

	(void)madvise((void *)back, from + len - back, MADV_DONTNEED);
}

static int run_job(void *arg, struct err *err)
{
	const struct verify_job *j = arg;
	const struct verify *v = j->v;
	uint64_t left = j->len, skip = j->skip;

	for (size_t i = j->first; left; i++, skip = 0) {
		const struct store_range *r = &v->ranges[i];
		uint64_t len = MIN(left, r->len - skip);

		for (uint64_t at = 0; v->tables[i].sums && at < len; at += READ_LEN)
			TRY(verify_part(v, i, r->off + skip + at, MIN(len - at, (uint64_t)READ_LEN),
					err));
		if (v->forget)
			forget(r, skip, len);
		left -= len;
	}
	return 0;
}

/* -------------------------------------------------------------------- plan */

/* All tables are read before the first page is: a damaged one is told as what it is. */
static int open_tables(struct verify *v, struct err *err)
{
	for (size_t i = 0; i < v->n; i++) {
		const struct store_image *im = v->ranges[i].image;
		const struct pagemap *pm = im->pm;

		if (i && v->ranges[i - 1].image == im)
			v->tables[i] = v->tables[i - 1];
		else if (page_sums_open(&v->s->levels.data[im->level].dir, pm->pages_id,
					pm->pages_len / PAGE, &v->tables[i], err) < 0)
			return store_err_in(v->s, im->level, err);
	}
	return 0;
}

static void close_tables(struct verify *v)
{
	for (size_t i = 0; i < v->n; i++)
		if (!i || v->ranges[i - 1].image != v->ranges[i].image)
			page_sums_close(&v->tables[i]);
}

static void plan_jobs(struct verify *v)
{
	struct verify_job j = {.v = v};
	uint64_t all = 0;

	for (size_t i = 0; i < v->n; i++)
		all += v->ranges[i].len;
	v->forget = all > KEEP_LEN;
	for (size_t i = 0; i < v->n; i++) {
		for (uint64_t at = 0; at < v->ranges[i].len;) {
			uint64_t n = MIN(v->ranges[i].len - at, JOB_LEN - j.len);

			if (!j.len) {
				j.first = i;
				j.skip = at;
			}
			j.len += n;
			at += n;
			if (j.len < JOB_LEN)
				continue;
			*vec_push(&v->jobs) = j;
			j.len = 0;
		}
	}
	if (j.len)
		*vec_push(&v->jobs) = j;
}

int page_store_verify(struct page_store *s, struct pool *pool, struct err *err)
{
	struct verify v = {.s = s};
	uint64_t start = clock_now_us();
	int r;

	v.n = store_ranges(s, &v.ranges);
	v.tables = xcalloc(v.n, sizeof(*v.tables));
	r = open_tables(&v, err);
	if (r == 0) {
		plan_jobs(&v);
		vec_foreach (j, &v.jobs)
			pool_add(pool, run_job, j);
		r = pool_wait(pool, err);
	}
	if (r == 0)
		log_debug("compared the checksums of pages in %" PRIu64 " us",
			  clock_now_us() - start);
	close_tables(&v);
	vec_done(&v.jobs);
	free(v.tables);
	free(v.ranges);
	return r;
}

/* ------------------------------------------------------- all that is wrong */

static int bad_table(const struct store_image *im, struct page_sums_table *t, struct page_store *s,
		     struct err *err)
{
	const struct pagemap *pm = im->pm;

	if (page_sums_open(&s->levels.data[im->level].dir, pm->pages_id, pm->pages_len / PAGE, t,
			   err) >= 0)
		return 0;
	return store_err_in(s, im->level, err);
}

/* Of a file that is nothing but damage, so many places are named: each takes a search. */
#define PLACES_MAX 32

struct list {
	struct page_store *s;
	const struct image_listener *listener;
	size_t places; /* of the image that is looked at */
	uint64_t done, total;
};

static void tell(const struct list *l, const struct err *problem)
{
	l->listener->problem(l->listener->arg, problem);
}

static void tell_place(struct list *l, const struct store_image *im, uint64_t at, int code)
{
	struct err err = ERR_INIT;
	int r;

	if (l->places++ < PLACES_MAX)
		r = code < 0 ? unreadable(l->s, im, at, code, &err)
			     : wrong_page(l->s, im, at, &err);
	else if (l->places == PLACES_MAX + 2)
		r = err_input(&err, "%s: more pages have changed since they were dumped",
			      im->pm->pages_name);
	else
		return;
	if (r < 0)
		tell(l, &err);
}

static void count_bytes(struct list *l, const struct store_image *im, uint64_t len)
{
	l->done += len;
	if (l->listener->progress && (l->done % READ_LEN == 0 || l->done == l->total))
		l->listener->progress(l->listener->arg, im->pm->pages_name, l->done, l->total);
}

/* Tells of the wrong pages of one range; pages that follow each other once. */
static void tell_wrong(struct list *l, const struct store_range *r, const uint32_t *sums)
{
	const struct pagemap *pm = r->image->pm;
	bool was_wrong = false;

	for (uint64_t at = r->off; at < r->off + r->len; at += PAGE) {
		int code = populate(pm->pages + at, PAGE);
		bool wrong = code < 0 || page_sum(pm->pages + at) != le32toh(sums[at / PAGE]);

		if (wrong && !was_wrong)
			tell_place(l, r->image, at, code);
		was_wrong = wrong;
		count_bytes(l, r->image, PAGE);
	}
}

void page_store_each_wrong(struct page_store *s, const struct image_listener *listener)
{
	auto_free struct store_range *ranges = NULL;
	struct list l = {.s = s, .listener = listener};
	size_t n = store_ranges(s, &ranges);
	struct page_sums_table t = {0};
	struct err err = ERR_INIT;

	for (size_t i = 0; i < n; i++)
		l.total += ranges[i].len;
	for (size_t i = 0; i < n; i++) {
		if (!i || ranges[i - 1].image != ranges[i].image) {
			page_sums_close(&t);
			t = (struct page_sums_table){0};
			l.places = 0;
			if (bad_table(ranges[i].image, &t, s, &err) < 0)
				tell(&l, &err);
			err = ERR_INIT;
		}
		if (t.sums)
			tell_wrong(&l, &ranges[i], t.sums);
		else
			count_bytes(&l, ranges[i].image, ranges[i].len);
	}
	page_sums_close(&t);
}
