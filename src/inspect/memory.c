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

/* Pages of pagemap-PID are counted in the areas that they are in. */
struct counting {
	const struct space *s;
	struct counts *counts; /* one for each area */
	size_t at;	       /* the area of the last one: they ascend */
	uint64_t id;
	/* Of an object: only those in this range, into counts[at]. */
	uint64_t from, to;
};

static void count(const struct counting *c, const struct page_origin *o, size_t area, uint64_t n)
{
	struct counts *to = &c->counts[area];

	if (o->id != c->id)
		to->cow += n;
	else if (o->level)
		to->parents += n;
	else
		to->here += n;
}

static void count_own(void *arg, const struct page_origin *o)
{
	uint64_t at = o->vaddr, end = o->vaddr + o->npages * SPACE_PAGE;
	struct counting *c = arg;
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
			count(c, o, c->at, (stop - at) / SPACE_PAGE);
		at = MAX(at, stop);
	}
}

static void count_object(void *arg, const struct page_origin *o)
{
	uint64_t end = o->vaddr + o->npages * SPACE_PAGE;
	const struct counting *c = arg;
	uint64_t from = MAX(o->vaddr, c->from), to = MIN(end, c->to);

	if (from < to)
		count(c, o, c->at, (to - from) / SPACE_PAGE);
}

static int count_pages(struct space *s, struct counts *counts, struct err *err)
{
	struct counting c = {.s = s, .counts = counts, .id = s->pid};
	struct page_store *store;

	TRY(checkpoint_store(s->cp, &store, err));
	TRY(page_store_origins(store, IMG_PAGEMAP, s->pid, count_own, &c, err));
	for (c.at = 0; c.at < s->n; c.at++) {
		const struct area *a = &s->areas[c.at];

		if (a->backing != BACKING_OBJECT || !a->object)
			continue;
		c.id = a->shmid;
		c.from = a->pgoff;
		c.to = a->pgoff + (a->end - a->start);
		TRY(page_store_origins(store, IMG_PAGEMAP_SHMEM, a->shmid, count_object, &c, err));
	}
	return 0;
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
