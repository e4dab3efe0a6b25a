/* SPDX-License-Identifier: Apache-2.0 */
/* The text of /proc/PID/smaps, mapping by mapping. A pure parser: knows no target. */
#pragma once

#include "base/err.h"
#include "base/vec.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Words of a VmFlags line that matter to us. */
enum smaps_flag {
	SF_GROWSDOWN = 1u << 0,	   /* gd */
	SF_LOCKED = 1u << 1,	   /* lo */
	SF_NORESERVE = 1u << 2,	   /* nr */
	SF_HUGETLB = 1u << 3,	   /* ht */
	SF_DONTCOPY = 1u << 4,	   /* dc */
	SF_MERGEABLE = 1u << 5,	   /* mg */
	SF_HUGEPAGE = 1u << 6,	   /* hg */
	SF_NOHUGEPAGE = 1u << 7,   /* nh */
	SF_DONTDUMP = 1u << 8,	   /* dd */
	SF_WIPEONFORK = 1u << 9,   /* wf */
	SF_RAND_READ = 1u << 10,   /* rr */
	SF_SEQ_READ = 1u << 11,	   /* sr */
	SF_IO = 1u << 12,	   /* io */
	SF_PFNMAP = 1u << 13,	   /* pf */
	SF_MIXEDMAP = 1u << 14,	   /* mm */
	SF_UFFD = 1u << 15,	   /* um, ui: missing pages, minor faults */
	SF_SHADOWSTACK = 1u << 16, /* ss */
	SF_DROPPABLE = 1u << 17,   /* dp */
	SF_SEALED = 1u << 18,	   /* sl */
	SF_UFFD_WP = 1u << 19,	   /* uw: mostly a tracker of ours */
};

struct smaps_entry {
	uint64_t start, end;
	uint64_t pgoff; /* bytes */
	uint64_t ino;
	dev_t dev;
	uint32_t prot;	/* PROT_* */
	uint32_t flags; /* SF_* */
	uint32_t page_kib;
	uint32_t pkey; /* protection key, 0: none */
	bool shared;
	const char *path; /* into the text; NULL for none */
};

typedef VEC(struct smaps_entry) smaps_vec;

/* Appends all mappings of `text`, which is changed (paths are cut out and unescaped in place). */
MUST_USE int smaps_parse(char *text, smaps_vec *ret, struct err *err);
