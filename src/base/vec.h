/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Growing array of any type, on the heap:
 *
 *	VEC(struct vma) vmas = {0};
 *	*vec_push(&vmas) = (struct vma){...};
 *	vec_foreach(v, &vmas) use(v);      (v is a pointer into the array)
 *	vec_done(&vmas);
 *
 * A pointer into it is valid until the next push.
 */
#pragma once

#include "base/arena.h"

#include <stdlib.h>

#define VEC(type)                                                                                  \
	struct {                                                                                   \
		type *data;                                                                        \
		size_t len, cap;                                                                   \
	}

#define vec_push(v)                                                                                \
	(((v)->len == (v)->cap                                                                     \
		  ? (void)((v)->cap = (v)->cap ? (v)->cap * 2 : 8,                                 \
			   (v)->data = xrealloc((v)->data, (v)->cap, sizeof(*(v)->data)))          \
		  : (void)0),                                                                      \
	 &(v)->data[(v)->len++])

/* An empty one may have no array at all, and NULL + 0 is undefined. */
#define vec_foreach(it, v)                                                                         \
	for (__typeof__((v)->data + 0) it = (v)->data; (v)->len && it < (v)->data + (v)->len; it++)

#define vec_done(v) (free((v)->data), (v)->data = NULL, (v)->len = (v)->cap = 0)
