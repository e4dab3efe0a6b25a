/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside inspect/, for `torpor image map`: the address spaces of a checkpoint as plain data.
 *
 *	map_collect.c  processes and their mappings
 *	map_share.c    which pages several processes have in common since a fork
 *	map_pages.c    counts and bins of pages by class
 *	map_layout.c   what is shown of it: which processes, blocks, their places
 *	map_draw.c, map_svg.c, map_html.c, map_style.c, map_text.c   the picture
 *
 * Pages are counted by round: class 0 is the directory that was named, the newest; class k the k-th
 * directory that it builds on; the last class stands for all that are older.
 */
#pragma once

#include "inspect/checkpoint.h"

#include <stdbool.h>

enum { AMAP_LEVELS = 8, AMAP_BINS_MAX = 200, AMAP_NAMED_PIDS = 6 };
#define AMAP_PAGE UINT64_C(4096)
#define AMAP_NONE SIZE_MAX

enum amap_kind {
	AMAP_HEAP,
	AMAP_STACK,
	AMAP_ANON,
	AMAP_FILE_PRIVATE,
	AMAP_FILE_SHARED,
	AMAP_SHM, /* memfd, System V, anonymous shared memory */
	AMAP_KERNEL,
	AMAP_RESERVED, /* anonymous, without any access, nothing in it */
	AMAP_OTHER,
	AMAP_RANGE,  /* of a pre-dump: nothing is known but that there are pages */
	AMAP_FOLDED, /* a block of several mappings of different kinds */
	AMAP_KIND_MAX,
};

/* In pages. A page that is in the checkpoint is in `own` or in `cow`, at the round of its bytes. */
enum amap_layer {
	AMAP_OWN,
	AMAP_COW,     /* some other process has the same page since a fork */
	AMAP_WRITTEN, /* in this round; the same page can be in many rounds */
	AMAP_LAYERS,
};
struct amap_counts {
	uint64_t n[AMAP_LAYERS][AMAP_LEVELS];
};

struct amap_bins {
	uint64_t npages;
	size_t n; /* at most AMAP_BINS_MAX */
	struct amap_counts *bins;
};

struct amap_mapping {
	uint64_t start, end;
	uint64_t pgoff;
	enum amap_kind kind;
	uint32_t prot;	/* PROT_*; AMAP_RANGE: unknown */
	bool shared;	/* MAP_SHARED */
	bool in_object; /* its pages are those of pagemap-shmem-<shmid> */
	uint64_t shmid;
	uint64_t guards;    /* pages of MADV_GUARD_INSTALL */
	const char *name;   /* of the file or object; or like "[heap]"; "" */
	size_t object;	    /* AMAP_NONE: neither file nor shared memory */
	uint64_t cow_owner; /* whose pagemap has the first page that is shared since a fork; 0: none
			       is */
	size_t family;	    /* AMAP_NONE: no page is shared by copy-on-write */
	struct amap_counts counts;
};

/* Processes that have something in common. */
struct amap_users {
	size_t n;
	uint32_t pids[AMAP_NAMED_PIDS]; /* the first of them */
	uint32_t last;
};

/* A file, or shared memory; what several mappings can be of. */
struct amap_object {
	const char *name;
	enum amap_kind kind; /* of the first mapping */
	struct amap_users users;
	uint64_t npages; /* of the largest mapping */
	bool in_object;	 /* as amap_mapping's */
	uint64_t shmid;
	struct amap_counts counts; /* of all of it, if in_object */
	unsigned int tag;	   /* its number in the picture; 0: none */
};

/* Mappings that have pages in common since a fork: those of the same pages' owner. */
struct amap_family {
	uint64_t owner; /* the pid that the pages are stored with */
	uint64_t start, end;
	const char *name;
	struct amap_users users;
	uint64_t npages; /* shared; the most that one of them has */
	unsigned int tag;
};

struct amap_process {
	uint32_t pid, ppid;
	unsigned int depth;
	size_t parent;	  /* SIZE_MAX: none */
	const char *comm; /* "": unknown */
	size_t nthreads;
	bool zombie;
	const char *error; /* why something of it can't be read; NULL: all of it was */
	bool broken_pages; /* the mappings are right, their contents unknown */
	VEC(struct amap_mapping) mappings;
	struct amap_counts counts; /* AMAP_WRITTEN: of pagemap-PID, mapped or not any more */
	uint64_t in_objects;	   /* pages of shared memory, which `counts` leaves out */
	uint64_t npages;	   /* of all mappings but AMAP_RESERVED */
	uint64_t nreserved;
};

/* Ranges of pages, stored with a task in a directory, that at least two processes have. */
struct amap_shared_range {
	size_t level;
	uint64_t id;
	uint64_t start, end;
};

struct amap {
	struct torpor_checkpoint *cp;
	struct page_store *store; /* NULL: store_error says why */
	struct err store_error;
	struct arena *a;
	size_t depth;	      /* directories in the chain; 1 without a store */
	unsigned int nlevels; /* classes in use */
	VEC(struct amap_process) processes;
	VEC(struct amap_shared_range) shared; /* sorted */
	VEC(struct amap_object) objects;
	VEC(struct amap_family) families;
	const char *title; /* the directory, as an absolute path */
	char date[32];
	struct amap_counts counts;  /* each page once */
	uint64_t npages, nreserved; /* of all processes */
	size_t nmappings, nzombies;
	struct err first_error; /* code 0: none */
};

/* Reads everything but pages. What can't be read is noted in its process. */
void amap_collect(struct torpor_checkpoint *cp, struct amap *am);
void amap_done(struct amap *am);
/* In the process, and the first one of all in am->first_error. */
void amap_note_error(struct amap *am, struct amap_process *p, const struct err *err);

/* Fills am->shared. After that amap_is_shared can be asked. */
void amap_find_sharing(struct amap *am);
/*
 * Are the pages from o->vaddr on shared? For how many bytes that holds: *ret_len, at most those of
 * o.
 */
bool amap_is_shared(const struct amap *am, const struct page_origin *o, uint64_t *ret_len);

/* Finds the families of mappings whose cow_owner is known. */
void amap_find_families(struct amap *am);

/* Counts all pages: of mappings, processes, objects and families. */
void amap_count(struct amap *am);

/* A part of one mapping, of which all pages are of one class. */
struct amap_part {
	size_t mapping;	   /* in its process */
	uint64_t first, n; /* pages, from the start of the mapping */
	enum amap_layer layer;
	unsigned int level;
	uint64_t owner; /* AMAP_COW: whose pagemap has them */
};
typedef void amap_part_fn(void *arg, const struct amap_part *part);
/* All parts of a process, layer by layer. */
MUST_USE int amap_parts(struct amap *am, const struct amap_process *p, amap_part_fn *fn, void *arg,
			struct err *err);

uint64_t amap_layer_sum(const struct amap_counts *c, enum amap_layer layer);
/* Pages that are in the checkpoint, here or in what it builds on. */
uint64_t amap_kept(const struct amap_counts *c);
void amap_counts_add(struct amap_counts *to, const struct amap_counts *c);
uint64_t amap_mapping_pages(const struct amap_mapping *m);

/* `n` bins for npages, at least one; as many as there are pages if n is more. */
void amap_bins_init(struct amap_bins *b, struct arena *a, uint64_t npages, size_t n);
/* Pages [first, first + n), cut to those that there are. */
void amap_bins_add(struct amap_bins *b, uint64_t first, uint64_t n, enum amap_layer layer,
		   unsigned int level);
/* Which pages bin i has: the first one. Of i == n: npages. */
uint64_t amap_bins_edge(const struct amap_bins *b, size_t i);
