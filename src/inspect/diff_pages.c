/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pages of two checkpoints, by what is in them: through both stores, so that it doesn't matter in
 * which directory of a chain a page is, or whose it is. Bytes that are the same place of the same
 * file need no look. A page that is in one checkpoint only is no difference if it is all zero and
 * anonymous: it would read the same.
 */
#include "inspect/diff.h"

#include "base/auto.h"
#include "image/vma_status.h"

#include <inttypes.h>
#include <string.h>

#define PAGE	   UINT64_C(4096)
#define CHUNK	   (256 * PAGE) /* compared at once */
#define RANGES_MAX 1000		/* listed for one process */

enum verdict { SAME, CHANGED, ONLY_A, ONLY_B };

static const char *const verdict_names[] = {"same", "changed", "only_a", "only_b"};

/* The pages of one side: pieces that ascend. */
struct side {
	VEC(struct page_origin) pieces;
	size_t at;
};

struct compare {
	struct diff *d;
	struct side sides[2];
	const MmEntry *const *mm; /* NULL, or both, of which some may be NULL */
	size_t nmappings[2];
	uint64_t counts[4];
	json_t *ranges;
	/* Not yet listed. */
	uint64_t start, end;
	enum verdict verdict;
	uint64_t hidden; /* ranges that weren't listed */
};

/* ------------------------------------------------------------------ verdicts */

static json_t *make_range(uint64_t start, uint64_t npages, const char *what)
{
	return json_pack("{sI sI ss}", "start", (json_int_t)start, "pages", (json_int_t)npages,
			 "what", what);
}

static void list_range(struct compare *c)
{
	if (c->start == c->end)
		return;
	if (json_array_size(c->ranges) < RANGES_MAX)
		json_array_append_new(c->ranges, make_range(c->start, (c->end - c->start) / PAGE,
							    verdict_names[c->verdict]));
	else
		c->hidden++;
	c->start = c->end = 0;
}

static void add_verdict(struct compare *c, uint64_t at, uint64_t len, enum verdict v)
{
	c->counts[v] += len / PAGE;
	if (v == SAME)
		return;
	if (c->end != at || c->verdict != v) {
		list_range(c);
		c->start = at;
		c->verdict = v;
	}
	c->end = at + len;
}

static void compare_bytes(struct compare *c, uint64_t at, const uint8_t *a, const uint8_t *b,
			  uint64_t len)
{
	for (uint64_t off = 0; off < len; off += CHUNK) {
		uint64_t n = MIN(CHUNK, len - off);

		if (memcmp(a + off, b + off, n) == 0) {
			add_verdict(c, at + off, n, SAME);
			continue;
		}
		for (uint64_t p = off; p < off + n; p += PAGE)
			add_verdict(c, at + p, PAGE, memcmp(a + p, b + p, PAGE) ? CHANGED : SAME);
	}
}

static void compare_both(struct compare *c, uint64_t at, const struct page_origin *a,
			 const struct page_origin *b, uint64_t len)
{
	uint64_t off_a = at - a->vaddr, off_b = at - b->vaddr;

	if (a->ino && a->dev == b->dev && a->ino == b->ino && a->off + off_a == b->off + off_b)
		add_verdict(c, at, len, SAME);
	else
		compare_bytes(c, at, a->src + off_a, b->src + off_b, len);
}

/* ------------------------------------------------------------- on one side only */

/* Mappings ascend; guards, which lie inside of them, come last. */
static size_t count_mappings(const MmEntry *mm)
{
	size_t n = mm ? mm->n_vmas : 0;

	while (n && mm->vmas[n - 1]->status & VMA_AREA_GUARD)
		n--;
	return n;
}

static const VmaEntry *mapping_at(const struct compare *c, size_t side, uint64_t at)
{
	size_t lo = 0, hi = c->nmappings[side];

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (c->mm[side]->vmas[mid]->end <= at)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo == c->nmappings[side] || c->mm[side]->vmas[lo]->start > at)
		return NULL;
	return c->mm[side]->vmas[lo];
}

static bool is_zero(const uint8_t *page)
{
	return !page[0] && memcmp(page, page + 1, PAGE - 1) == 0;
}

/* `i`: the side that has them. */
static void one_side(struct compare *c, uint64_t at, const struct page_origin *o, size_t i,
		     uint64_t len)
{
	enum verdict v = i ? ONLY_B : ONLY_A;
	const MmEntry *other = c->mm ? c->mm[!i] : NULL;

	for (uint64_t p = at; p < at + len; p += PAGE) {
		const VmaEntry *m = other ? mapping_at(c, !i, p) : NULL;
		/* Where the other side has no such mapping, nothing would read as zero. */
		bool reads_zero = !c->mm || !other || (m && !(m->status & VMA_FILE_PRIVATE));

		if (reads_zero && is_zero(o->src + (p - o->vaddr)))
			add_verdict(c, p, PAGE, SAME);
		else
			add_verdict(c, p, PAGE, v);
	}
}

/* ------------------------------------------------------------------- walking */

static uint64_t end_of(const struct page_origin *o)
{
	return o->vaddr + o->npages * PAGE;
}

/* The piece that holds `at`, or the first one behind it. */
static const struct page_origin *piece_at(struct side *s, uint64_t at)
{
	while (s->at < s->pieces.len && end_of(&s->pieces.data[s->at]) <= at)
		s->at++;
	return s->at < s->pieces.len ? &s->pieces.data[s->at] : NULL;
}

static void walk(struct compare *c)
{
	for (uint64_t at = 0;;) {
		const struct page_origin *a = piece_at(&c->sides[0], at);
		const struct page_origin *b = piece_at(&c->sides[1], at);
		uint64_t in_a = a ? MAX(a->vaddr, at) : UINT64_MAX;
		uint64_t in_b = b ? MAX(b->vaddr, at) : UINT64_MAX;
		uint64_t end;

		if (!a && !b)
			break;
		at = MIN(in_a, in_b);
		if (in_a == in_b) {
			end = MIN(end_of(a), end_of(b));
			compare_both(c, at, a, b, end - at);
		} else if (in_a < in_b) {
			end = MIN(end_of(a), in_b);
			one_side(c, at, a, 0, end - at);
		} else {
			end = MIN(end_of(b), in_a);
			one_side(c, at, b, 1, end - at);
		}
		at = end;
	}
	list_range(c);
}

static void add_piece(void *arg, const struct page_origin *o)
{
	struct side *s = arg;

	*vec_push(&s->pieces) = *o;
}

static int load_side(struct diff *d, size_t i, enum img_kind kind, uint64_t id, struct side *s,
		     struct err *err)
{
	struct page_store *store;

	TRY(checkpoint_store(d->cp[i], &store, err));
	return page_store_origins(store, kind, id, add_piece, s, err);
}

/* --------------------------------------------------------------- by mapping */

/*
 * How many of the listed pages each mapping has; of B, or where it has none, of A. Ranges are cut
 * where mappings end.
 */
static json_t *by_mapping(struct compare *c)
{
	json_t *rows = json_array(), *cut = json_array(), *last = NULL, *range;
	const VmaEntry *last_vma = NULL;
	size_t i;

	json_array_foreach(c->ranges, i, range)
	{
		uint64_t at = (uint64_t)json_integer_value(json_object_get(range, "start"));
		uint64_t left = (uint64_t)json_integer_value(json_object_get(range, "pages"));
		const char *what = json_string_value(json_object_get(range, "what"));

		while (left) {
			const VmaEntry *v = mapping_at(c, 1, at);
			uint64_t n = left;

			if (!v)
				v = mapping_at(c, 0, at);
			if (v)
				n = MIN(left, (v->end - at + PAGE - 1) / PAGE);
			if (!last || v != last_vma) {
				last = json_pack("{sI sI}", "start",
						 (json_int_t)(v ? v->start : at), "end",
						 (json_int_t)(v ? v->end : at + n * PAGE));
				json_array_append_new(rows, last);
				last_vma = v;
			}
			json_count(last, what, (json_int_t)n);
			json_array_append_new(cut, make_range(at, n, what));
			at += n * PAGE;
			left -= n;
		}
	}
	json_decref(c->ranges);
	c->ranges = cut;
	return rows;
}

static json_t *make_row(struct compare *c, const char *key, uint64_t id)
{
	json_t *row = json_pack("{sI}", key, (json_int_t)id);

	for (size_t v = 0; v < ARRAY_SIZE(verdict_names); v++)
		json_object_set_new(row, verdict_names[v], json_integer((json_int_t)c->counts[v]));
	if (c->mm)
		json_object_set_new(row, "mappings", by_mapping(c));
	json_object_set(row, "ranges", c->ranges);
	if (c->hidden)
		json_object_set_new(row, "more_ranges", json_integer((json_int_t)c->hidden));
	return row;
}

static void compare_image(struct diff *d, enum img_kind kind, const char *key, uint64_t id,
			  const MmEntry *const *mm)
{
	struct compare c = {.d = d, .mm = mm, .ranges = json_array()};
	struct err err = ERR_INIT;
	bool ok = true;

	for (size_t i = 0; i < 2; i++) {
		c.nmappings[i] = count_mappings(mm ? mm[i] : NULL);
		if (load_side(d, i, kind, id, &c.sides[i], &err) == 0)
			continue;
		diff_problem(d, i, &err);
		ok = false;
	}
	if (ok)
		walk(&c);
	if (c.counts[CHANGED] || c.counts[ONLY_A] || c.counts[ONLY_B])
		diff_add(d, "pages", make_row(&c, key, id));
	json_decref(c.ranges);
	json_count(d->out, "pages_compared",
		   (json_int_t)(c.counts[SAME] + c.counts[CHANGED] + c.counts[ONLY_A] +
				c.counts[ONLY_B]));
	vec_done(&c.sides[0].pieces);
	vec_done(&c.sides[1].pieces);
}

void diff_task_pages(struct diff *d, uint32_t pid, const MmEntry *mm[2])
{
	compare_image(d, IMG_PAGEMAP, "pid", pid, mm[0] || mm[1] ? mm : NULL);
}

/* ------------------------------------------------------------- shared objects */

void diff_shared_pages(struct diff *d)
{
	struct map seen = {0};

	for (size_t i = 0; i < 2; i++) {
		auto_free uint64_t *ids = NULL;
		struct err err = ERR_INIT;
		size_t n = 0;

		if (checkpoint_shmems(d->cp[i], &ids, &n, &err) < 0)
			diff_problem(d, i, &err);
		for (size_t k = 0; k < n; k++) {
			if (map_get(&seen, ids[k]) != MAP_NONE)
				continue;
			map_put(&seen, ids[k], 1);
			compare_image(d, IMG_PAGEMAP_SHMEM, "shmid", ids[k], NULL);
		}
	}
	map_done(&seen);
}
