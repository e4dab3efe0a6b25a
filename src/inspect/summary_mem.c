/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Summary: the memory of a process by where its bytes are. A page counts once, as
 *
 *	private		in this directory, in the process's own pages file
 *	parents		in a directory that this one builds on
 *	cow		another process's page, which both have since a fork
 *	lazy		left to a lazy-pages server
 *
 * and the pages of shared objects that it maps (shared memory, memfds) as `shared`; those are one
 * for all who map them, so the total counts each object once.
 */
#include "inspect/summary.h"

#include "base/auto.h"
#include "image/schema/memfd.pb-c.h"
#include "image/vma_status.h"

#include <string.h>

#define PAGE UINT64_C(4096)

struct tally {
	uint64_t id; /* of the pagemap */
	uint64_t own, parents, cow, lazy;
};

/* A page that is another's is that, whatever level it is in. */
static void tally_origin(void *arg, const struct page_origin *o)
{
	struct tally *t = arg;

	if (o->id != t->id)
		t->cow += o->npages;
	else if (o->level)
		t->parents += o->npages;
	else
		t->own += o->npages;
}

/* By this level's word alone: for images with pages that can't be followed to their bytes. */
static void tally_flags(const struct pagemap *pm, struct tally *t)
{
	for (size_t i = 0; i < pm->nruns; i++) {
		const struct page_run *r = &pm->runs[i];

		if (r->flags & PE_PRESENT)
			t->own += r->npages;
		else if (r->flags & PE_COW)
			t->cow += r->npages;
		else if (r->flags & PE_PARENT)
			t->parents += r->npages;
		else
			t->lazy += r->npages;
	}
}

static int tally_pages(struct summary *s, enum img_kind kind, struct tally *t, struct err *err)
{
	struct pagemap *pm = NULL;
	struct page_store *store;
	struct err why = ERR_INIT;

	TRY(checkpoint_store(s->cp, &store, err));
	if (page_store_origins(store, kind, t->id, tally_origin, t, &why) == 0)
		return 0;
	/* Pages left to a server aren't missing: what this level says is all there is to say. */
	TRY(pagemap_load(&s->cp->dir, kind, t->id, true, &pm, err));
	*t = (struct tally){.id = t->id};
	if (pm)
		tally_flags(pm, t);
	pagemap_free(pm);
	if (!t->lazy)
		*err = why;
	return err->code;
}

/* ---------------------------------------------------------- shared objects */

static uint64_t memfd_shmid(struct summary *s, uint64_t file_id)
{
	auto_img_reader struct img_reader *r = NULL;
	struct err err = ERR_INIT;
	MemfdInodeEntry *e;
	const FileEntry *f;

	if (checkpoint_file(s->cp, (uint32_t)file_id, &f, &err) < 0 || !f || !f->memfd ||
	    img_open(&s->cp->dir, IMG_MEMFD, 0, &r, &err) < 0)
		return 0;
	while (img_get(r, s->scratch, &e, &err) > 0)
		if (e->inode_id == f->memfd->inode_id)
			return e->shmid;
	return 0;
}

/* The pages of an object; to the totals once. */
static uint64_t object_bytes(struct summary *s, uint64_t shmid, json_t *totals)
{
	struct tally t = {.id = shmid};
	struct err err = ERR_INIT;
	size_t known = map_get(&s->shmem_bytes, shmid);

	if (known != MAP_NONE)
		return known;
	if (tally_pages(s, IMG_PAGEMAP_SHMEM, &t, &err) < 0)
		summary_problem(s, &err);
	map_put(&s->shmem_bytes, shmid, (t.own + t.parents + t.lazy) * PAGE);
	json_count(totals, "shared", (json_int_t)((t.own + t.parents + t.lazy) * PAGE));
	json_count(totals, "shared_in_parents", (json_int_t)(t.parents * PAGE));
	return (t.own + t.parents + t.lazy) * PAGE;
}

static uint64_t shared_bytes(struct summary *s, const MmEntry *mm, json_t *totals)
{
	struct map seen = {0};
	uint64_t sum = 0;

	for (size_t i = 0; i < mm->n_vmas; i++) {
		const VmaEntry *v = mm->vmas[i];
		uint64_t shmid = v->shmid;

		if (v->status & VMA_AREA_MEMFD)
			shmid = memfd_shmid(s, v->shmid);
		else if (!(v->status & VMA_ANON_SHARED))
			continue;
		if (!shmid || map_get(&seen, shmid) != MAP_NONE)
			continue;
		map_put(&seen, shmid, 1);
		sum += object_bytes(s, shmid, totals);
	}
	map_done(&seen);
	return sum;
}

static uint64_t mapped_bytes(const MmEntry *mm)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < mm->n_vmas; i++) {
		const VmaEntry *v = mm->vmas[i];

		if (!(v->status & (VMA_AREA_GUARD | VMA_AREA_VSYSCALL)) && v->end > v->start)
			sum += v->end - v->start;
	}
	return sum;
}

/* ------------------------------------------------------------ for a process */

static void put_bytes(json_t *memory, json_t *totals, const char *key, uint64_t bytes)
{
	json_object_set_new(memory, key, json_integer((json_int_t)bytes));
	json_count(totals, key, (json_int_t)bytes);
}

void summary_task_memory(struct summary *s, struct checkpoint_task *t, json_t *process,
			 json_t *totals)
{
	json_t *memory = json_object(), *all = json_object_get(totals, "memory");
	struct tally tally = {.id = t->pid};
	struct err err = ERR_INIT;

	if (!all) {
		all = json_object();
		json_object_set_new(totals, "memory", all);
	}
	json_object_set_new(process, "memory", memory);
	if (tally_pages(s, IMG_PAGEMAP, &tally, &err) < 0)
		summary_problem(s, &err);
	put_bytes(memory, all, "private", tally.own * PAGE);
	put_bytes(memory, all, "cow", tally.cow * PAGE);
	put_bytes(memory, all, "parents", tally.parents * PAGE);
	put_bytes(memory, all, "lazy", tally.lazy * PAGE);
	if (!t->mm)
		return;
	put_bytes(memory, all, "mapped", mapped_bytes(t->mm));
	json_object_set_new(memory, "shared",
			    json_integer((json_int_t)shared_bytes(s, t->mm, all)));
}

size_t summary_read(struct summary *s, uint32_t pid, uint64_t at, void *buf, size_t len)
{
	const struct page_map *map;
	struct page_store *store;
	struct err err = ERR_INIT;
	size_t done = 0;

	/* Pages that are missing are told of by summary_task_memory. */
	if (checkpoint_store(s->cp, &store, &err) < 0 ||
	    page_store_map(store, IMG_PAGEMAP, pid, true, &map, &err) < 0 || !map)
		return 0;
	for (size_t i = page_map_find(map, at); done < len && i < map->n; i++) {
		const struct page_piece *p = &map->pieces[i];
		uint64_t off = at + done - p->vaddr, size = p->npages * PAGE;
		size_t n;

		if (p->vaddr > at + done || off >= size)
			break;
		n = MIN(len - done, size - off);
		memcpy((char *)buf + done, p->src + off, n);
		done += n;
	}
	return done;
}
