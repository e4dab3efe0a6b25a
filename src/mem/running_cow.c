/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two tasks get a page in common at fork() only. So if they have it in common now, they had when
 * the first of them was copied a moment ago, nobody has written to it, and the copy is that of the
 * second one, too. What the second one writes from now on is told by its tracker.
 *
 * That isn't so where the kernel merges pages that became equal (KSM): tasks that it looks at are
 * left alone. And the copy has to be there: the first one's pagemap is looked into.
 */
#include "mem/running_cow.h"

#include "base/auto.h"
#include "kernel/proc.h"

#include <string.h>

#define PAGE 4096u

void running_cow_init(struct running_cow *c, const struct running_opts *o, size_t task)
{
	*c = (struct running_cow){.o = o, .task = o->tasks[task]};
	if (o->cow)
		c->guesses = cow_map_runs(o->cow, task);
}

void running_cow_done(struct running_cow *c)
{
	vec_done(&c->still);
	pagemap_free(c->pagemap);
}

static bool ksm_looks_at(const struct target *t)
{
	char text[1024];
	const char *p;

	if (proc_read_small(t->proc, "ksm_stat", text, sizeof(text)) < 0)
		return access("/sys/kernel/mm/ksm/run", F_OK) == 0; /* before 6.1: who knows */
	p = strstr(text, "ksm_rmap_items ");
	return !p || p[strlen("ksm_rmap_items ")] != '0';
}

static uint64_t end_of(const struct cow_run *r)
{
	return r->start + (uint64_t)r->npages * PAGE;
}

/* Which pages of a guess are true now. */
static void look(struct running_cow *c, const struct cow_run *guess)
{
	const struct target *owner = c->o->tasks[guess->owner];

	c->still.len = 0;
	c->next_still = 0;
	c->looked = end_of(guess);
	cow_still_shared(owner, c->task, guess, &c->still);
	if (c->still.len && (ksm_looks_at(owner) || ksm_looks_at(c->task)))
		c->still.len = 0;
}

static const struct pagemap *pagemap_of(struct running_cow *c, size_t owner)
{
	struct err ignored = ERR_INIT;

	if (c->pagemap && c->owner == owner)
		return c->pagemap;
	pagemap_free(TAKE_PTR(c->pagemap));
	c->owner = owner;
	if (pagemap_load(c->o->dir, IMG_PAGEMAP, (uint64_t)c->o->tasks[owner]->vpid,
			 /* optional= */ true, &c->pagemap, &ignored) < 0)
		c->pagemap = NULL; /* then nothing is shared */
	return c->pagemap;
}

/* How far from `start` on the owner has bytes of its own; to `end` at most. */
static uint64_t owned_extent(struct running_cow *c, size_t owner, uint64_t start, uint64_t end)
{
	const struct pagemap *p = pagemap_of(c, owner);
	uint64_t at = start;

	if (!p)
		return start;
	for (size_t i = pagemap_find(p, start); i < p->nruns && at < end; i++) {
		const struct page_run *run = &p->runs[i];

		if (run->vaddr > at || !(run->flags & (PE_PRESENT | PE_PARENT)) ||
		    run->flags & PE_COW)
			break;
		at = run->vaddr + run->npages * PAGE;
	}
	return MIN(at, end);
}

static struct mem_run cut(struct mem_run *left, uint64_t end)
{
	struct mem_run first = *left;

	first.npages = (end - left->start) / PAGE;
	left->start = end;
	left->npages -= first.npages;
	return first;
}

/* The guess that reaches behind `at`, or NULL. */
static const struct cow_run *guess_behind(struct running_cow *c, uint64_t at)
{
	while (c->guesses && c->next < c->guesses->len && end_of(&c->guesses->data[c->next]) <= at)
		c->next++;
	return c->guesses && c->next < c->guesses->len ? &c->guesses->data[c->next] : NULL;
}

struct mem_run running_cow_split(struct running_cow *c, struct mem_run *left)
{
	uint64_t end = left->start + left->npages * PAGE, owned;
	const struct cow_run *guess = guess_behind(c, left->start), *true_now;
	struct mem_run first;

	if (!guess || guess->start >= end)
		return cut(left, end);
	if (guess->start > left->start)
		return cut(left, guess->start);
	end = MIN(end, end_of(guess));
	if (c->looked != end_of(guess))
		look(c, guess);
	while (c->next_still < c->still.len && end_of(&c->still.data[c->next_still]) <= left->start)
		c->next_still++;
	if (c->next_still == c->still.len)
		return cut(left, end);
	true_now = &c->still.data[c->next_still];
	if (true_now->start > left->start)
		return cut(left, MIN(end, true_now->start));
	end = MIN(end, end_of(true_now));
	owned = owned_extent(c, guess->owner, left->start, end);
	if (owned == left->start)
		return cut(left, end); /* or a part of it: it is copied anyway */
	first = cut(left, owned);
	first.flags = PE_COW;
	first.owner = (uint32_t)c->o->tasks[guess->owner]->vpid;
	first.huge = false;
	*c->o->used_cow = true;
	return first;
}
