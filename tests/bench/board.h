/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the driver of the benchmarks (kit/program.py, which knows this layout) and a target tell
 * each other while the target runs: a file of one page, mapped by both. A target is never asked in
 * a way that it would have to answer before it can be frozen.
 */
#pragma once

#include <stdint.h>

#define BOARD_TASKS 16

/* The time line of one thread, which looks at the clock every 50 microseconds. */
struct board_ticker {
	uint64_t window; /* the one that the rest belongs to */
	uint64_t ticks;
	uint64_t max_ns;    /* the largest gap between two ticks */
	uint64_t long_gaps; /* those of more than a quarter of a millisecond */
};

struct board_task {
	uint64_t addr; /* its memory */
	uint64_t size;
	uint64_t touched; /* the `touch` that it has done last */
	uint64_t written; /* the `write` that it has done last, and when */
	uint64_t begin_ns;
	uint64_t end_ns;
	uint64_t pages; /* rewritten so far */
};

struct board {
	/* by the driver */
	uint64_t window; /* a new number: gaps are counted anew */
	uint64_t touch;	 /* a new number: each task rewrites touch_pages pages, no page twice */
	uint64_t touch_pages;
	uint64_t rate;	/* pages that each task rewrites in a second, all the time */
	uint64_t write; /* a new number: each task write()s its memory to the file blob.N */
	/* by the target */
	struct board_ticker tickers[2]; /* of the first task: its main thread, another thread */
	struct board_task tasks[BOARD_TASKS];
};
