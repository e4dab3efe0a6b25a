/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A description of an address space, with the pagemap of a sample: what rmem_load accepts must keep
 * its promises, since all plans and calls are made from it.
 */
#include "fuzz.h"

#include "../lib/samples.h"
#include "base/auto.h"
#include "mem/layout.h"
#include "mem/plan.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

static void copy_pagemap(void)
{
	static bool done;
	static const char *const names[] = {"inventory.img", "pagemap-17880.img", "pages-1.img"};
	struct img_dir set;

	if (done)
		return;
	done = true;
	sample_copy("shell", &set);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		size_t len;
		uint8_t *data = sample_read(set.fd, names[i], &len);

		fuzz_file(names[i], data, len, len);
		free(data);
	}
	sample_remove(&set);
}

static void check_promises(const struct rmem *m)
{
	uint64_t end = 0;

	fuzz_assert(m->nreal <= m->vmas.len);
	for (size_t i = 0; i < m->vmas.len; i++) {
		const struct vma *v = &m->vmas.data[i];

		if (i == m->nreal)
			end = 0;
		fuzz_assert(v->start >= end && v->start < v->end && v->end <= USER_END);
		fuzz_assert((v->start | v->end | v->pgoff) % PAGE_LEN == 0);
		fuzz_assert(!!(v->status & VMA_AREA_GUARD) == (i >= m->nreal));
		end = v->end;
	}
	for (size_t i = 0; i < m->pages->n; i++) {
		const struct page_piece *r = &m->pages->pieces[i];
		const struct vma *v = layout_find(&m->vmas, m->nreal, r->vaddr);

		fuzz_assert(v && v->start <= r->vaddr && vma_is_private(v));
	}
}

/* Onto itself everything stays; from nothing everything is made. */
static void check_plans(const struct rmem *m)
{
	uint64_t pages = 0;
	struct mem_plan p;

	mem_plan_make(&p, m, NULL);
	vec_foreach (f, &p.fill)
		pages += f->npages;
	fuzz_assert(pages <= m->pages->npages && !p.keep.len && !p.unmap.len && !p.drop.len);
	mem_plan_done(&p);
	mem_plan_make(&p, m, m);
	fuzz_assert(!p.fill.len && !p.drop.len && p.pages_shared == p.pages_compared);
	mem_plan_done(&p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *a = arena_new();
	struct err err = ERR_INIT;
	struct page_store *store = NULL;
	struct rmem *m;

	copy_pagemap();
	fuzz_file("mm-17880.img", data, size, size);
	if (page_store_open(fuzz_dir(), &store, &err) == 0 &&
	    rmem_load(fuzz_dir(), store, 17880, a, &m, &err) == 0) {
		check_promises(m);
		check_plans(m);
		rmem_free(m);
	} else {
		fuzz_assert(err.code < 0 && err.text[0]);
	}
	page_store_close(store);
	arena_free(a);
	return 0;
}
