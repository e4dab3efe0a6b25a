/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Turns among the processes of one test, after its freeze: a number in shared memory that only
 * grows. Made before the fork.
 *
 *	_Atomic int *stage = stage_new();	// 0
 *	stage_wait(stage, 1);			// in a child: until the parent says
 *	stage_set(stage, 1);			// in the parent, after FREEZE()
 */
#pragma once

#include "behave.h"

#include <stdatomic.h>
#include <sys/mman.h>

static inline _Atomic int *stage_new(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	MUST(p != MAP_FAILED);
	return p;
}

static inline void stage_wait(const _Atomic int *stage, int n)
{
	while (*stage < n)
		behave_nap(1);
}

static inline void stage_set(_Atomic int *stage, int n)
{
	*stage = n;
}

/* In a child: set up, waiting for its first turn. */
static inline void stage_ready(const _Atomic int *stage)
{
	behave_child_ready();
	stage_wait(stage, 1);
}
