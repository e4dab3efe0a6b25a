/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/dedup.h"

#include "base/log.h"
#include "engine/engine.h"
#include "image/sums.h"

#include <inttypes.h>

static int dedup_store(struct page_store *store, const char *path, struct err *err)
{
	uint64_t freed;

	TRY(page_store_dedup(store, &freed, err));
	log_info("Dedup: %" PRIu64 " KiB of the images that %s builds on were given back",
		 freed / 1024, path);
	return 0;
}

/* In a view of its own: dir->sums may be those of a dump that has just been written. */
static int dedup_dir(const struct img_dir *dir, bool *ret_alone, struct err *err)
{
	struct img_dir view = {.fd = dir->fd, .work_fd = dir->work_fd, .path = dir->path};
	struct page_store *store;
	int r;

	view.sums = img_sums_new();
	r = page_store_open(&view, &store, err);
	if (r == 0) {
		*ret_alone = page_store_depth(store) == 1;
		r = dedup_store(store, dir->path, err);
		page_store_close(store);
	}
	img_sums_free(view.sums);
	return r;
}

int engine_dedup(const struct options *o, const struct img_dir *dir, struct err *err)
{
	bool alone;

	TRY(dedup_dir(dir, &alone, err));
	if (alone)
		log_warn("%s has no 'parent' with images: there is nothing to deduplicate",
			 dir->path);
	return 0;
}

void dedup_parents(const struct options *o, const struct img_dir *dir)
{
	struct err err = ERR_INIT;
	bool alone;

	if (o->auto_dedup && dedup_dir(dir, &alone, &err) < 0)
		log_warn("--auto-dedup: %s", err.text);
}

void dedup_restored(const struct options *o, struct page_store *store)
{
	struct err err = ERR_INIT;

	if (o->auto_dedup && page_store_punch_all(store, &err) < 0)
		log_warn("--auto-dedup: %s", err.text);
}
