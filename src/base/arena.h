/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Arena: memory that lives as long as a verb's run. Collected facts and image records come from
 * one; nothing in it is freed singly. Running out of memory aborts: by design our death doesn't
 * hurt a target (see remote/), and a half-recorded program would.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct arena;

struct arena *arena_new(void);
void arena_free(struct arena *a); /* accepts NULL */
/* Zeroed memory, aligned for any object. Aborts when there is none. */
void *arena_alloc(struct arena *a, size_t size);
void *arena_dup(struct arena *a, const void *data, size_t size);
char *arena_str(struct arena *a, const char *s);
char *arena_printf(struct arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define arena_new_of(a, type)	   ((type *)arena_alloc((a), sizeof(type)))
#define arena_array_of(a, type, n) ((type *)arena_alloc((a), sizeof(type) * (size_t)(n)))

/* Heap, aborting when there is none. */
void *xcalloc(size_t n, size_t size);
void *xrealloc(void *p, size_t n, size_t size);
char *xstrdup(const char *s);
