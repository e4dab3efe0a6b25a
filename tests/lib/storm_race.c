/* SPDX-License-Identifier: Apache-2.0 */
/* The storm's operations on address spaces, each with what it does to the notes. See storm.h. */
#include "storm.h"

#include <fcntl.h>

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif
#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif

struct range {
	size_t from, to;
};

static struct range some_pages(struct storm_world *w, const struct storm_place *p)
{
	size_t from = storm_below(w, p->npages);

	return (struct range){from, from + 1 + storm_below(w, p->npages - from)};
}

static void drop_shadow(struct storm_place *p)
{
	if (!p->shadow)
		return;
	CHECK(is_zero(p->shadow, p->npages * PAGE), "what a move left isn't empty");
	SYS(munmap(p->shadow, p->npages * PAGE));
	p->shadow = NULL;
}

/* Gone, and another mapping in its place: either in two steps or in one. */
static void map_again(struct storm_world *w, struct storm_place *p)
{
	if (p->kind == STORM_HEAP)
		return;
	if (storm_below(w, 2))
		SYS(munmap(p->at, p->npages * PAGE));
	if (p->kind != STORM_MEMFD)
		storm_pages_reset(p, 0, p->max);
	storm_place_map(p);
}

/* A hole in the middle, and new memory in it; the kernel may make one mapping of it again. */
static void map_part_again(struct storm_world *w, struct storm_place *p)
{
	struct range r = some_pages(w, p);
	char *at = p->at + r.from * PAGE;
	size_t len = (r.to - r.from) * PAGE;

	if (p->kind != STORM_ANON || p->prot != (PROT_READ | PROT_WRITE))
		return;
	if (storm_below(w, 2))
		SYS(munmap(at, len));
	MUST(mmap(at, len, p->prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == at);
	storm_pages_reset(p, r.from, r.to);
	p->split = true;
}

/* A mapping that somebody has split is no longer one to the kernel's calls. */
static void complain_of_move(const struct storm_place *p)
{
	int saved_errno = errno;
	char *at = p->at, *end = p->at + p->npages * PAGE;
	struct map m;

	while (at < end && map_at(at, &m)) {
		behave_fail(__FILE__, __LINE__, "%lx-%lx is a mapping of its own, wr %d uw %d",
			    (unsigned long)m.start, (unsigned long)m.end, map_has_flag(at, "wr"),
			    map_has_flag(at, "uw"));
		at = (char *)m.end;
	}
	errno = saved_errno;
	behave_die(__FILE__, __LINE__, "mremap");
}

static void move(struct storm_world *w, struct storm_place *p)
{
	char *to = p->home[p->at == p->home[0]];
	bool leave = p->kind == STORM_ANON && storm_below(w, 3) == 0;
	size_t len = p->npages * PAGE;

	drop_shadow(p);
	if (p->kind == STORM_HEAP || p->split)
		return;
	if (mremap(p->at, len, len, MREMAP_MAYMOVE | MREMAP_FIXED | (leave ? MREMAP_DONTUNMAP : 0),
		   to) != to)
		complain_of_move(p);
	/* What is left behind is empty, and may be read if p->prot allows it. */
	if (leave && (p->prot & PROT_READ))
		p->shadow = p->at;
	else if (leave)
		SYS(munmap(p->at, len));
	p->at = to;
}

/* Shrinks it, or grows it again: what comes back is empty if it is private. */
static void resize(struct storm_world *w, struct storm_place *p)
{
	size_t npages = p->max / 2 + storm_below(w, p->max / 2) + 1, was = p->npages;

	drop_shadow(p);
	/* In a user namespace nobody can tell how large an object is beyond its mappings. */
	if (p->split || (p->kind == STORM_SHARED && behave_flavour() == USERNS))
		return;
	if (p->kind == STORM_HEAP && p->prot == (PROT_READ | PROT_WRITE))
		MUST(brk(p->at + npages * PAGE) == 0);
	else if (p->kind == STORM_HEAP)
		return;
	else if (mremap(p->at, was * PAGE, npages * PAGE, 0) != p->at)
		complain_of_move(p);
	if (storm_is_private(p) && npages < was)
		storm_pages_reset(p, npages, was);
	p->npages = npages;
}

static void protect(struct storm_world *w, struct storm_place *p)
{
	static const int others[] = {PROT_NONE, PROT_READ, PROT_NONE, PROT_READ | PROT_EXEC};
	const int usual = PROT_READ | PROT_WRITE;

	drop_shadow(p);
	p->prot = p->prot == usual ? others[storm_below(w, 4)] : usual;
	SYS(mprotect(p->at, p->npages * PAGE, p->prot));
}

static void drop(struct storm_world *w, struct storm_place *p)
{
	struct range r = some_pages(w, p);

	SYS(madvise(p->at + r.from * PAGE, (r.to - r.from) * PAGE, MADV_DONTNEED));
	if (storm_is_private(p))
		storm_pages_reset(p, r.from, r.to);
}

/* Until they are written again, the pages may become zero at any time. */
static void set_free(struct storm_world *w, struct storm_place *p)
{
	struct range r = some_pages(w, p);

	if (p->kind != STORM_ANON)
		return;
	for (size_t page = r.from; page < r.to; page++)
		p->notes[page].freed = 1;
	SYS(madvise(p->at + r.from * PAGE, (r.to - r.from) * PAGE, MADV_FREE));
}

static void punch(struct storm_world *w, struct storm_place *p)
{
	struct range r = some_pages(w, p);
	size_t len = (r.to - r.from) * PAGE;

	if (storm_is_private(p))
		return;
	if (p->kind == STORM_MEMFD)
		SYS(fallocate(p->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			      (off_t)(r.from * PAGE), (off_t)len));
	else
		SYS(madvise(p->at + r.from * PAGE, len, MADV_REMOVE));
	storm_pages_reset(p, r.from, r.to);
}

/* The kernel joins small pages into a huge one, or won't any more; both lose nothing. */
static void huge(struct storm_world *w, struct storm_place *p)
{
	static const int advice[] = {MADV_HUGEPAGE, MADV_NOHUGEPAGE, MADV_COLLAPSE, MADV_COLLAPSE};
	struct range r = some_pages(w, p);
	int a = advice[storm_below(w, 4)];

	if (p->kind != STORM_HUGE)
		return;
	if (a == MADV_COLLAPSE)
		r.from = r.from / 512 * 512;
	else
		r = (struct range){0, p->npages}; /* it must stay one mapping */
	(void)madvise(p->at + r.from * PAGE, (r.to - r.from) * PAGE, a);
}

void storm_race(struct storm_world *w)
{
	static void (*const operations[])(struct storm_world *, struct storm_place *) = {
		map_again, map_part_again, move, move,	   resize, protect,
		protect,   drop,	   drop, set_free, punch,  huge,
	};
	size_t n = sizeof(operations) / sizeof(operations[0]);

	operations[storm_below(w, n)](w, &w->places[storm_below(w, w->nplaces)]);
}
