/* SPDX-License-Identifier: Apache-2.0 */
/* Seccomp filters: the file that all tasks of a dump share; see seccomp.c. */
#pragma once

#include "task/part.h"

/* One filter as it was read from a thread. */
struct seccomp_read {
	void *insns;
	uint16_t n;
	uint32_t flags;
};
/* The chain of one thread, oldest first. */
struct dchain {
	size_t n;
	struct seccomp_read *filters;
};

/*
 * Appends a chain to the entry (newest first, linked as the format wants) and returns the index
 * of its oldest filter, where a reader starts.
 */
uint32_t seccomp_chain_put(struct arena *a, SeccompEntry *e, const struct dchain *c, bool tsync);
/* Checks the filters of an entry: sizes and links. */
MUST_USE int seccomp_filters_load(struct rtasks *ts, const SeccompEntry *e, struct err *err);
/* The chain that starts with its oldest filter at `index`. */
MUST_USE int seccomp_chain_load(struct rtasks *ts, uint32_t index, struct seccomp_chain *ret,
				struct err *err);

/* When all threads of a process have been read: decides what is common, fills their records. */
void seccomp_settle(struct dthread *threads, size_t n);
/* seccomp.img, read and written. */
MUST_USE int seccomp_write(struct tasks *ts, struct err *err);
MUST_USE int seccomp_read(struct rtasks *ts, struct err *err);
