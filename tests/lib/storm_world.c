/* SPDX-License-Identifier: Apache-2.0 */
/* The storm's pages: what they hold, how they are written and checked. See storm.h. */
#include "storm.h"

#include <fcntl.h>
#include <sys/syscall.h>

#define WORDS	       (PAGE / 8)
#define FIRST_HOME     0x200000000000ul
#define WORLD_ROOM     (4096 * MIB)
#define HOME_ROOM      (256 * MIB)
#define FILE_ID	       0xf11eu
#define FILE_NAME      "storm-data"
#define FILE_PAGES     256ul
#define COMPLAINTS_MAX 12
/* The upper bits of a generation are the writer's: pages of relatives don't look alike. */
#define GEN_BITS 22
#define GEN_MASK ((1u << GEN_BITS) - 1)

/* ------------------------------------------------------------------- pages */

static uint64_t mix(uint64_t x)
{
	x ^= x >> 31;
	x *= 0x9e3779b97f4a7c15ul;
	x ^= x >> 29;
	x *= 0xbf58476d1ce4e5b9ul;
	return x ^ x >> 32;
}

uint64_t storm_random(struct storm_world *w)
{
	w->rng += 0x9e3779b97f4a7c15ul;
	return mix(w->rng);
}

/* The first two words say what the page is, the others depend on them. */
static void make_page(uint64_t *to, uint32_t id, size_t page, uint32_t gen)
{
	uint64_t seed = mix((uint64_t)id << 40 ^ (uint64_t)page << 32 ^ gen);

	to[0] = (uint64_t)id << 32 | page;
	to[1] = gen;
	for (size_t i = 2; i < WORDS; i++)
		to[i] = seed ^ (i * 0xd6e8feb86659fd93ul);
}

static void make_expected(const struct storm_place *p, size_t page, struct storm_note n,
			  uint64_t *to)
{
	if (n.gen)
		make_page(to, p->id, page, n.gen);
	else if (p->kind == STORM_FILE)
		make_page(to, FILE_ID, page, 1);
	else
		memset(to, 0, PAGE);
	if (n.patch)
		to[2 + n.patch % (WORDS - 2)] ^= mix(n.patch) | 1;
}

static bool is_readable(const struct storm_place *p)
{
	return p->kind == STORM_MEMFD || (p->prot & PROT_READ);
}

/* Through the descriptor where the mapping lets nobody in. */
static const uint64_t *look_at(const struct storm_place *p, size_t page, uint64_t *buf)
{
	if (p->prot & PROT_READ)
		return (const uint64_t *)(const void *)(p->at + page * PAGE);
	if (pread(p->fd, buf, PAGE, (off_t)(page * PAGE)) != (ssize_t)PAGE)
		behave_die(__FILE__, __LINE__, "pread of a memfd");
	return buf;
}

/* Says of which state a wrong page is. */
static void complain(const struct storm_place *p, size_t page, const uint64_t *is,
		     const uint64_t *want)
{
	static const char *const kinds[] = {"private", "huge", "file", "shared", "memfd", "heap"};
	static _Atomic int complaints;
	struct storm_note n = p->notes[page];
	uint64_t whole[WORDS];
	size_t wrong = 0, first = WORDS;

	if (complaints++ >= COMPLAINTS_MAX)
		return;
	for (size_t i = 0; i < WORDS; i++) {
		if (is[i] == want[i])
			continue;
		first = first < i ? first : i;
		wrong++;
	}
	make_page(whole, (uint32_t)(is[0] >> 32), (uint32_t)is[0], (uint32_t)is[1]);
	behave_fail(
		__FILE__, __LINE__,
		"pid %d: %s place %x page %zu of %zu at %p, generation %u patch %u%s: %zu words "
		"are wrong, first %zu (%016lx, not %016lx); it says it is %lx generation %lu "
		"(%s)",
		getpid(), kinds[p->kind], p->id, page, p->npages, (void *)(p->at + page * PAGE),
		n.gen, n.patch, n.freed ? " freed" : "", wrong, first, (unsigned long)is[first],
		(unsigned long)want[first], (unsigned long)is[0], (unsigned long)is[1],
		is_zero(is, PAGE)	       ? "zero"
		: memcmp(whole, is, PAGE) == 0 ? "and is, wholly"
					       : "but isn't, or is patched");
}

bool storm_page_check(struct storm_place *p, size_t page)
{
	uint64_t want[WORDS], buf[WORDS];
	const uint64_t *is;

	if (!is_readable(p))
		return true;
	is = look_at(p, page, buf);
	make_expected(p, page, p->notes[page], want);
	if (memcmp(is, want, PAGE) == 0)
		return true;
	if (p->notes[page].freed && is_zero(is, PAGE)) {
		p->notes[page] = (struct storm_note){0};
		return true;
	}
	complain(p, page, is, want);
	return false;
}

static void put(struct storm_place *p, size_t page, size_t off, const void *from, size_t len,
		bool by_call)
{
	if (by_call)
		MUST(pwrite(p->fd, from, len, (off_t)(page * PAGE + off)) == (ssize_t)len);
	else
		memcpy(p->at + page * PAGE + off, from, len);
}

/* Most of the time all of it, else one word: a page that is written a little is written, too. */
void storm_page_write(struct storm_world *w, struct storm_place *p, size_t page)
{
	bool by_call = p->kind == STORM_MEMFD && (!(p->prot & PROT_WRITE) || !storm_below(w, 4));
	struct storm_note *n = &p->notes[page], was = *n;
	uint64_t to[WORDS];

	if (!by_call && !(p->prot & PROT_WRITE))
		return;
	if (storm_below(w, 4) || was.freed) {
		*n = (struct storm_note){.gen = ((was.gen + 1) & GEN_MASK) | w->slot << GEN_BITS};
		make_expected(p, page, *n, to);
		put(p, page, 0, to, PAGE, by_call);
		return;
	}
	n->patch = (uint16_t)(was.patch + 1 + storm_below(w, 1000));
	make_expected(p, page, *n, to);
	for (int i = 0; i < 2; i++) { /* the old one is undone */
		uint16_t patch = i ? n->patch : was.patch;
		size_t word = 2 + patch % (WORDS - 2);

		if (patch)
			put(p, page, word * 8, &to[word], 8, by_call);
	}
}

void storm_pages_reset(struct storm_place *p, size_t from, size_t to)
{
	memset(p->notes + from, 0, (to - from) * sizeof(*p->notes));
}

/* ------------------------------------------------------------------ places */

void storm_place_map(struct storm_place *p)
{
	bool shared = !storm_is_private(p), file = p->fd >= 0;
	int flags = (shared ? MAP_SHARED : MAP_PRIVATE) | (file ? 0 : MAP_ANONYMOUS) | MAP_FIXED;

	/* A shared object is as large as its first mapping; growing would lead beyond it. */
	MUST(mmap(p->at, p->max * PAGE, PROT_READ | PROT_WRITE, flags, p->fd, 0) == p->at);
	if (p->npages < p->max)
		SYS(munmap(p->at + p->npages * PAGE, (p->max - p->npages) * PAGE));
	p->prot = PROT_READ | PROT_WRITE;
	p->split = false;
	if (p->kind == STORM_HUGE)
		MUST(madvise(p->at, p->npages * PAGE, MADV_HUGEPAGE) == 0);
}

/* The file that private mappings are made of; whoever comes second finds it. */
static int open_file(void)
{
	uint64_t page[WORDS];
	char name[64];
	int fd;

	fd = open(FILE_NAME, O_RDWR | O_CLOEXEC);
	if (fd >= 0)
		return fd;
	snprintf(name, sizeof(name), FILE_NAME ".%d.%d", getpid(), gettid());
	fd = SYS(open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
	for (size_t i = 0; i < FILE_PAGES; i++) {
		make_page(page, FILE_ID, i, 1);
		MUST(write(fd, page, PAGE) == (ssize_t)PAGE);
	}
	SYS(close(fd));
	SYS(rename(name, FILE_NAME));
	return SYS(open(FILE_NAME, O_RDWR | O_CLOEXEC));
}

static int open_memfd(const struct storm_place *p)
{
	int fd = SYS(memfd_create("storm", MFD_CLOEXEC));

	SYS(ftruncate(fd, (off_t)(p->max * PAGE)));
	return fd;
}

static void heap_build(struct storm_place *p)
{
	char *end = sbrk(0);

	/* The C library finds its next page elsewhere. */
	MUST(end != (void *)-1);
	end += -(uintptr_t)end & (PAGE - 1);
	MUST(brk(end + p->npages * PAGE) == 0);
	p->at = p->home[0] = p->home[1] = end;
	p->prot = PROT_READ | PROT_WRITE;
}

static void place_build(struct storm_place *p, char *homes)
{
	p->home[0] = p->at = homes;
	p->home[1] = homes + HOME_ROOM / 2;
	p->npages = p->max;
	p->fd = -1;
	if (p->kind == STORM_FILE)
		p->fd = open_file();
	else if (p->kind == STORM_MEMFD)
		p->fd = open_memfd(p);
	if (p->kind == STORM_HEAP)
		heap_build(p);
	else
		storm_place_map(p);
}

/* ------------------------------------------------------------------ worlds */

static char *notes_new(struct storm_world *w, int flags, char *at)
{
	char *p = mmap(at, w->notes_len, PROT_READ | PROT_WRITE,
		       MAP_FIXED_NOREPLACE | MAP_ANONYMOUS | flags, -1, 0);

	MUST(p == at);
	return p;
}

static void notes_build(struct storm_world *w, char *base)
{
	size_t all = 0, done = 0;

	for (size_t i = 0; i < w->nplaces; i++)
		all += w->places[i].max;
	w->notes_len = (all * sizeof(struct storm_note) + PAGE - 1) & -PAGE;
	w->notes_shared = notes_new(w, MAP_SHARED, base);
	w->notes_private = notes_new(w, MAP_PRIVATE, base + HOME_ROOM / 2);
	for (size_t i = 0; i < w->nplaces; i++) {
		struct storm_place *p = &w->places[i];
		char *pool = storm_is_private(p) ? w->notes_shared : w->notes_private;

		p->notes = (struct storm_note *)(void *)pool + done;
		done += p->max;
	}
}

/* A counter outside of all images: it tells if the world has gone back in time. */
static _Atomic uint64_t *counter(unsigned int slot)
{
	static _Atomic uint64_t *table;
	const size_t len = STORM_SLOTS * sizeof(*table);
	int fd;
	void *p;

	MUST(slot < STORM_SLOTS);
	if (table)
		return &table[slot];
	fd = SYS(open("progress", O_RDWR | O_CREAT | O_CLOEXEC, 0644));
	SYS(ftruncate(fd, (off_t)len));
	p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	MUST(p != MAP_FAILED);
	SYS(close(fd));
	table = p;
	return &table[slot];
}

void storm_world_build(struct storm_world *w, const struct storm_options *o, unsigned int index,
		       unsigned int slot, bool heap)
{
	const size_t mib = 256, scale = o->scale ? o->scale : 1;
	const struct storm_place plan[STORM_PLACES] = {
		{.kind = STORM_ANON, .max = scale * mib}, {.kind = STORM_ANON, .max = 200},
		{.kind = STORM_HUGE, .max = 4 * mib},	  {.kind = STORM_FILE, .max = FILE_PAGES},
		{.kind = STORM_SHARED, .max = 128},	  {.kind = STORM_MEMFD, .max = 128},
		{.kind = STORM_HEAP, .max = 64},
	};
	char *base = (char *)FIRST_HOME + index * WORLD_ROOM;

	*w = (struct storm_world){.o = o, .nplaces = heap ? STORM_PLACES : STORM_PLACES - 1};
	w->slot = slot;
	w->rng = mix(slot + 1) ^ (uint64_t)getpid();
	memcpy(w->places, plan, sizeof(plan));
	notes_build(w, base + STORM_PLACES * HOME_ROOM);
	for (size_t i = 0; i < w->nplaces; i++) {
		w->places[i].id = (index + 1) << 8 | (unsigned int)i;
		place_build(&w->places[i], base + i * HOME_ROOM);
		for (size_t page = 0; page < w->places[i].npages; page += 1 + storm_below(w, 3))
			storm_page_write(w, &w->places[i], page);
	}
	*counter(slot) = 0;
}

void storm_world_adopt(struct storm_world *w, unsigned int slot)
{
	char *copy;

	w->slot = slot;
	w->depth++;
	w->rng = mix(w->rng ^ (uint64_t)getpid());
	memset(w->children, 0, sizeof(w->children));
	copy = map_new(w->notes_len, PROT_READ | PROT_WRITE, MAP_SHARED);
	memcpy(copy, w->notes_shared, w->notes_len);
	MUST(mremap(copy, w->notes_len, w->notes_len, MREMAP_MAYMOVE | MREMAP_FIXED,
		    w->notes_shared) == w->notes_shared);
	for (size_t i = 0; i < w->nplaces; i++) {
		struct storm_place *p = &w->places[i];

		if (storm_is_private(p))
			continue;
		if (p->fd >= 0) {
			SYS(close(p->fd));
			p->fd = open_memfd(p);
		}
		storm_pages_reset(p, 0, p->max);
		storm_place_map(p);
	}
	*counter(slot) = w->steps;
}

void storm_world_glance(struct storm_world *w, unsigned int npages)
{
	while (npages--) {
		struct storm_place *p = &w->places[storm_below(w, w->nplaces)];

		(void)storm_page_check(p, storm_below(w, p->npages));
	}
}

void storm_world_check(struct storm_world *w)
{
	for (size_t i = 0; i < w->nplaces; i++) {
		struct storm_place *p = &w->places[i];

		if (p->shadow) {
			CHECK(is_zero(p->shadow, p->npages * PAGE), "what a move left isn't empty");
			SYS(munmap(p->shadow, p->npages * PAGE));
			p->shadow = NULL;
		}
		if (p->prot != (PROT_READ | PROT_WRITE))
			MUST(mprotect(p->at, p->npages * PAGE, PROT_READ | PROT_WRITE) == 0);
		p->prot = PROT_READ | PROT_WRITE;
		for (size_t page = 0; page < p->npages; page++)
			(void)storm_page_check(p, page);
	}
}

void storm_world_step(struct storm_world *w)
{
	_Atomic uint64_t *outside = counter(w->slot);

	CHECK(*outside == w->steps, "pid %d: step %lu was done already, this is %lu", getpid(),
	      (unsigned long)*outside, (unsigned long)w->steps);
	for (unsigned int i = 0; i < w->o->burst; i++) {
		struct storm_place *p = &w->places[storm_below(w, w->nplaces)];
		size_t page = storm_below(w, p->npages);

		if (storm_page_check(p, page))
			storm_page_write(w, p, page);
	}
	if (w->o->races) {
		storm_race(w);
		storm_race_tasks(w);
	}
	w->steps++;
	*outside = w->steps;
	behave_nap(w->o->nap_ms);
}
