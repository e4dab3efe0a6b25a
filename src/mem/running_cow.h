/* SPDX-License-Identifier: Apache-2.0 */
/* Pages that a running task has in common with one that was copied before it. */
#pragma once

#include "image/pages.h"
#include "mem/running.h"

struct running_cow {
	const struct running_opts *o;
	const struct target *task;
	const cow_run_vec *guesses; /* NULL: there are none */
	size_t next;		    /* of them */
	cow_run_vec still;	    /* inside the guess that was looked at last */
	size_t next_still;
	uint64_t looked; /* `still` is good up to here */
	size_t owner;	 /* whose pagemap this is: */
	struct pagemap *pagemap;
};

void running_cow_init(struct running_cow *c, const struct running_opts *o, size_t task);
void running_cow_done(struct running_cow *c);
/*
 * Cuts off the first pages of a run that has at least one, as far as they are alike: PE_COW, or as
 * they came. Runs come in ascending order.
 */
struct mem_run running_cow_split(struct running_cow *c, struct mem_run *left);
