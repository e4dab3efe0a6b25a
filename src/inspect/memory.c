/* SPDX-License-Identifier: Apache-2.0 */
/* Memory of a checkpoint for those who look at it: the list of mappings, and bytes. */
#include "base/auto.h"
#include "inspect/space.h"

#include <inttypes.h>
#include <jansson.h>
#include <string.h>
#include <sys/mman.h>

/* ---------------------------------------------------------------- mappings */

struct counts {
	uint64_t here, parents, cow; /* pages */
};

/* Pages of pagemap-PID, counted in the areas that they are in. */
struct own_counting {
	const struct space *s;
	struct counts *counts; /* one for each area */
	size_t at;	       /* the area of the last one: they ascend */
};

static void add_pages(struct counts *to, const struct page_origin *o, uint64_t own, uint64_t n)
{
	if (o->id != own)
		to->cow += n;
	else if (o->level)
		to->parents += n;
	else
		to->here += n;
}

static void count_own(void *arg, const struct page_origin *o)
{
	uint64_t at = o->vaddr, end = o->vaddr + o->npages * SPACE_PAGE;
	struct own_counting *c = arg;
	const struct space *s = c->s;

	while (at < end) {
		uint64_t stop;

		while (c->at < s->n && s->areas[c->at].end <= at)
			c->at++;
		if (c->at == s->n)
			return;
		at = MAX(at, s->areas[c->at].start);
		stop = MIN(end, s->areas[c->at].end);
		if (at < stop)
			add_pages(&c->counts[c->at], o, s->pid, (stop - at) / SPACE_PAGE);
		at = MAX(at, stop);
	}
}

/*
 * Shared objects may be mapped many times: of each one the sums are made once, and what a mapping
 * has is the difference of two of them.
 */
struct object_part {
	struct page_origin origin;
	struct counts before; /* of all parts in front */
};
struct object {
	VEC(struct object_part) parts;
	struct counts all;
	uint64_t id;
};

static void add_part(void *arg, const struct page_origin *o)
{
	struct object *obj = arg;

	*vec_push(&obj->parts) = (struct object_part){.origin = *o, .before = obj->all};
	add_pages(&obj->all, o, obj->id, o->npages);
}

/* The pages in front of this offset. */
static struct counts counts_before(const struct object *obj, uint64_t off)
{
	size_t lo = 0, hi = obj->parts.len;
	const struct object_part *p;
	struct counts n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (obj->parts.data[mid].origin.vaddr < off)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (!lo)
		return (struct counts){0};
	p = &obj->parts.data[lo - 1];
	n = p->before;
	add_pages(&n, &p->origin, obj->id,
		  MIN(p->origin.npages, (off - p->origin.vaddr) / SPACE_PAGE));
	return n;
}

static int by_object(const void *a, const void *b)
{
	const struct area *x = *(const struct area *const *)a, *y = *(const struct area *const *)b;

	return (x->shmid > y->shmid) - (x->shmid < y->shmid);
}

static void count_object(const struct object *obj, const struct area *a, struct counts *ret)
{
	struct counts from = counts_before(obj, a->pgoff);
	struct counts to = counts_before(obj, a->pgoff + (a->end - a->start));

	ret->here += to.here - from.here;
	ret->parents += to.parents - from.parents;
	ret->cow += to.cow - from.cow;
}

/* Areas of objects, sorted by these. */
static int count_objects(const struct space *s, const struct area **areas, size_t n,
			 struct page_store *store, struct counts *counts, struct err *err)
{
	struct object obj = {.id = 0};
	int r = 0;

	for (size_t i = 0; i < n && r == 0; i++) {
		if (!i || areas[i]->shmid != obj.id) {
			vec_done(&obj.parts);
			obj = (struct object){.id = areas[i]->shmid};
			r = page_store_origins(store, IMG_PAGEMAP_SHMEM, obj.id, add_part, &obj,
					       err);
		}
		count_object(&obj, areas[i], &counts[areas[i] - s->areas]);
	}
	vec_done(&obj.parts);
	return r;
}

static int count_pages(struct space *s, struct counts *counts, struct err *err)
{
	struct own_counting own = {.s = s, .counts = counts};
	VEC(const struct area *) shared = {0};
	struct page_store *store;
	int r;

	TRY(checkpoint_store(s->cp, &store, err));
	TRY(page_store_origins(store, IMG_PAGEMAP, s->pid, count_own, &own, err));
	for (size_t i = 0; i < s->n; i++)
		if (s->areas[i].backing == BACKING_OBJECT)
			*vec_push(&shared) = &s->areas[i];
	if (!shared.len)
		return 0;
	qsort(shared.data, shared.len, sizeof(*shared.data), by_object);
	r = count_objects(s, shared.data, shared.len, store, counts, err);
	vec_done(&shared);
	return r;
}

static json_t *text_or_null(const char *text)
{
	json_t *j = text ? json_string(text) : json_null();

	/* Not UTF-8: what of it can be shown. */
	if (!j) {
		auto_free char *shown = xstrdup(text);

		for (char *p = shown; *p; p++)
			if (*p & 0x80)
				*p = '?';
		j = json_string(shown);
	}
	return j;
}

static json_t *mapping_json(const struct space *s, const struct area *a, const struct counts *n)
{
	const char prot[] = {a->prot & PROT_READ ? 'r' : '-', a->prot & PROT_WRITE ? 'w' : '-',
			     a->prot & PROT_EXEC ? 'x' : '-', a->flags & MAP_SHARED ? 's' : 'p',
			     '\0'};
	char start[24], end[24];

	/* The vsyscall page is above what JSON's integers are here. */
	snprintf(start, sizeof(start), "%#" PRIx64, a->start);
	snprintf(end, sizeof(end), "%#" PRIx64, a->end);
	return json_pack("{s:s, s:s, s:s, s:s, s:o, s:I, s:{s:I, s:I, s:I}}", "start", start, "end",
			 end, "prot", prot, "kind", space_kind(s, a), "file",
			 text_or_null(space_name(a)), "offset", (json_int_t)a->pgoff, "pages",
			 "here", (json_int_t)n->here, "parents", (json_int_t)n->parents, "cow",
			 (json_int_t)n->cow);
}

int torpor_checkpoint_mappings(struct torpor_checkpoint *cp, uint32_t pid, char **ret_json)
{
	struct err *err = context_begin(cp->ctx);
	auto_free struct counts *counts = NULL;
	struct space *s;
	json_t *list, *all;

	TRY(space_open(cp, pid, &s, err));
	counts = xcalloc(s->n + 1, sizeof(*counts));
	TRY(count_pages(s, counts, err));
	list = json_array();
	for (size_t i = 0; i < s->n; i++)
		json_array_append_new(list, mapping_json(s, &s->areas[i], &counts[i]));
	all = json_pack("{s:I, s:I, s:o}", "pid", (json_int_t)pid, "page_size",
			(json_int_t)SPACE_PAGE, "mappings", list);
	*ret_json = json_dumps(all, JSON_INDENT(1));
	json_decref(all);
	return *ret_json ? 0 : err_bug(err, "mappings aren't JSON");
}

/* ------------------------------------------------------------------- bytes */

int64_t torpor_checkpoint_read_memory(struct torpor_checkpoint *cp, uint32_t pid, uint64_t addr,
				      void *buf, size_t len, unsigned int flags)
{
	struct err *err = context_begin(cp->ctx);
	struct space *s;

	if (flags & ~TORPOR_MEMORY_NO_FILES)
		return err_input(err, "unknown flags: %#x", flags);
	if (len > INT64_MAX || addr > UINT64_MAX - len)
		return err_input(err, "%#" PRIx64 ": %zu bytes from there on go beyond memory",
				 addr, len);
	TRY(space_open(cp, pid, &s, err));
	return space_read(s, addr, buf, len, !(flags & TORPOR_MEMORY_NO_FILES), err);
}

int torpor_checkpoint_mapping_at(struct torpor_checkpoint *cp, uint32_t pid, uint64_t addr,
				 uint64_t *ret_start, uint64_t *ret_end)
{
	struct err *err = context_begin(cp->ctx);
	struct space *s;
	size_t i;

	TRY(space_open(cp, pid, &s, err));
	i = space_find(s, addr);
	if (i == s->n || s->areas[i].start > addr)
		return space_unmapped(s, addr, err);
	*ret_start = s->areas[i].start;
	*ret_end = s->areas[i].end;
	return 0;
}
