/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pagemap, with a pages file of the size that it asks for: what pagemap_load accepts must keep
 * its promises, for nobody looks at it again before pages are copied.
 */
#include "fuzz.h"

#include "../lib/imgwalk.h"
#include "base/auto.h"
#include "image/pages.h"
#include "image/schema/pagemap.pb-c.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define PAGE	  UINT64_C(4096)
#define PAGES_MAX (UINT64_C(1) << 28) /* a sparse file of a terabyte */

struct wish {
	uint32_t pages_id;
	uint64_t npages;
};

static int note(void *ctx, const struct imgwalk_record *r, struct err *err)
{
	const PagemapEntry *e = (const void *)r->msg;
	struct wish *w = ctx;
	bool present;

	if (r->msg->descriptor == &pagemap_head__descriptor) {
		w->pages_id = ((const PagemapHead *)(const void *)r->msg)->pages_id;
		return 0;
	}
	present = e->has_flags ? e->flags & PE_PRESENT : !e->in_parent;
	if (present)
		w->npages += MIN(e->has_nr_pages ? e->nr_pages : e->compat_nr_pages, PAGES_MAX);
	return 0;
}

static void check_promises(const struct pagemap *p)
{
	uint64_t end = 0, off = 0, npages = 0;

	for (size_t i = 0; i < p->nruns; i++) {
		const struct page_run *r = &p->runs[i];

		fuzz_assert(r->npages && r->vaddr >= end && r->vaddr % PAGE == 0);
		fuzz_assert(!(r->flags & ~(PE_PARENT | PE_LAZY | PE_PRESENT | PE_COW)) && r->flags);
		fuzz_assert(!(r->flags & PE_COW) == !r->owner);
		fuzz_assert(r->off == off);
		end = r->vaddr + r->npages * PAGE;
		fuzz_assert(end > r->vaddr);
		if (r->flags & PE_PRESENT)
			off += r->npages * PAGE;
		npages += r->npages;
		fuzz_assert(pagemap_find(p, r->vaddr) == i && pagemap_find(p, end - 1) == i);
	}
	fuzz_assert(npages == p->npages && off == p->pages_len);
	fuzz_assert(!off || (p->pages[0] == 0 && p->pages[off - 1] == 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct wish w = {0};
	struct err err = ERR_INIT;
	char name[IMG_NAME_MAX];
	struct pagemap *p;

	fuzz_file("pagemap-1.img", data, size, size);
	if (imgwalk(fuzz_dir(), IMG_PAGEMAP, 1, note, &w, &err) < 0)
		err = ERR_INIT; /* with whatever pages were asked for until then */
	snprintf(name, sizeof(name), "pages-%" PRIu32 ".img", w.pages_id);
	fuzz_file(name, NULL, 0, MIN(w.npages, PAGES_MAX) * PAGE);
	if (pagemap_load(fuzz_dir(), IMG_PAGEMAP, 1, false, &p, &err) == 0) {
		check_promises(p);
		pagemap_free(p);
	} else {
		fuzz_assert(err.code < 0 && strstr(err.text, ".img"));
	}
	unlinkat(fuzz_dir()->fd, name, 0);
	return 0;
}
