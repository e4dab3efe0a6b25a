/* SPDX-License-Identifier: Apache-2.0 */
/* Instructions in a target's own code that the first remote call is made with. */
#pragma once

#include "remote/target.h"

struct gadget_set {
	uint64_t syscall_ret; /* `syscall; ret`, or 0 */
	uint64_t sigreturn;   /* `mov $15,%eax; syscall`, or 0 */
	uint64_t syscall;     /* any `syscall`, or 0 */
};

/* Where gadgets are in files already searched: one object per run or tree. */
struct gadgets *gadgets_new(void);
struct gadgets *gadgets_ref(struct gadgets *g);
void gadgets_unref(struct gadgets *g); /* accepts NULL */

struct proc_map;
/*
 * Looks into one executable mapping of a stopped target, adding to *set what it still lacks.
 * Mappings that can't be read are passed over.
 */
void gadgets_search(struct gadgets *g, const struct target *t, const struct proc_map *m,
		    struct gadget_set *set);
static inline bool gadget_set_complete(const struct gadget_set *set)
{
	return set->syscall_ret && set->sigreturn && set->syscall;
}
