/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing pagemap-*.img: a head with the id of the pages file, then runs of pages. Where the bytes
 * of a run are isn't written down: they follow those of all present runs before it, without gaps.
 * So the offset is fixed when the run is added, and whoever has the pages may put them there.
 *
 * The pagemap exists even without a page (a live task without one is an error at restore); the
 * pages file is created when somebody wants to write into it.
 */
#include "image/pages.h"

#include "base/auto.h"
#include "image/kinds.h"
#include "image/page_sums.h"
#include "image/schema/pagemap.pb-c.h"
#include "image/sums.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

struct pagemap_writer {
	struct img_writer *w;
	int dirfd;
	const struct img_dir *dir;
	uint32_t pages_id;
	struct page_sums_file *sums; /* from the pages file's creation on */
	char pages_name[IMG_NAME_MAX];
	int pages_fd;
	uint64_t page_size;
	uint64_t off;	      /* bytes of all present runs so far */
	struct page_run last; /* not written yet: the next one may continue it */
};

static int put_head(struct pagemap_writer *p, uint32_t pages_id, struct err *err)
{
	PagemapHead head = PAGEMAP_HEAD__INIT;

	head.pages_id = pages_id;
	return img_put(p->w, &head.base, err);
}

int pagemap_create(const struct img_dir *dir, enum img_kind kind, uint64_t id, uint32_t pages_id,
		   struct pagemap_writer **ret, struct err *err)
{
	struct pagemap_writer *p = xcalloc(1, sizeof(*p));
	int r;

	p->dirfd = dir->fd;
	p->dir = dir;
	p->pages_id = pages_id;
	p->pages_fd = -EBADF;
	p->page_size = (uint64_t)getpagesize();
	snprintf(p->pages_name, sizeof(p->pages_name), "pages-%" PRIu32 ".img", pages_id);
	r = img_create(dir, kind, id, &p->w, err);
	if (r == 0)
		r = put_head(p, pages_id, err);
	if (r < 0) {
		pagemap_abort(p);
		return r;
	}
	*ret = p;
	return 0;
}

/*
 * nr_pages is what readers of today take. compat_nr_pages held the number once; it is required, and
 * CRIU 4.2 leaves it 0, which doesn't limit a run to 2^32 pages.
 */
static int put_last(struct pagemap_writer *p, struct err *err)
{
	PagemapEntry e = PAGEMAP_ENTRY__INIT;

	if (!p->last.npages)
		return 0;
	e.vaddr = p->last.vaddr;
	e.has_flags = true;
	e.flags = p->last.flags;
	e.has_nr_pages = true;
	e.nr_pages = p->last.npages;
	e.has_cow_pid = p->last.flags & PE_COW;
	e.cow_pid = p->last.owner;
	e.has_huge = e.huge = p->last.huge;
	p->last.npages = 0;
	return img_put(p->w, &e.base, err);
}

static bool are_alike(const struct page_run *a, const struct page_run *b)
{
	return a->flags == b->flags && a->owner == b->owner && a->huge == b->huge;
}

int pagemap_add(struct pagemap_writer *p, const struct page_run *run, uint64_t *ret_off,
		struct err *err)
{
	uint64_t end = p->last.vaddr + p->last.npages * p->page_size;

	if (!run->npages || run->vaddr % p->page_size || (p->last.npages && run->vaddr < end))
		return err_bug(err, "%s: run of %" PRIu64 " pages at %#" PRIx64 " behind %#" PRIx64,
			       p->pages_name, run->npages, run->vaddr, end);
	if (ret_off)
		*ret_off = p->off;
	if (run->flags & PE_PRESENT)
		p->off += run->npages * p->page_size;
	if (p->last.npages && are_alike(&p->last, run) && run->vaddr == end) {
		p->last.npages += run->npages;
		return 0;
	}
	TRY(put_last(p, err));
	p->last = *run;
	return 0;
}

void pagemap_wrote(struct pagemap_writer *p, uint64_t off, uint64_t len)
{
	page_sums_add(p->sums, off, len);
}

void pagemap_wrote_summed(struct pagemap_writer *p, uint64_t off, const uint32_t *sums, size_t n)
{
	page_sums_put(p->sums, off, sums, n);
}

int pagemap_pages_fd(struct pagemap_writer *p, struct err *err)
{
	if (p->pages_fd < 0) {
		p->pages_fd = img_create_file(p->dirfd, p->pages_name, err);
		if (p->pages_fd >= 0)
			p->sums = page_sums_begin(p->dir, p->pages_id, p->pages_fd);
	}
	return p->pages_fd;
}

uint64_t pagemap_pages_written(const struct pagemap_writer *p)
{
	return p->off / p->page_size;
}

/* Others have written it: is it all there? */
static int check_pages(const struct pagemap_writer *p, struct err *err)
{
	struct stat st = {.st_size = 0};

	/* An older dump's must not stay beside a pagemap without pages. */
	if (p->pages_fd < 0 && unlinkat(p->dirfd, p->pages_name, 0) < 0 && errno != ENOENT)
		return err_sys(err, -errno, "%s: remove the old one", p->pages_name);
	if (p->pages_fd >= 0 && fstat(p->pages_fd, &st) < 0)
		return err_sys(err, -errno, "%s: stat", p->pages_name);
	if ((uint64_t)st.st_size != p->off)
		return err_bug(err, "%s: has %" PRIu64 " bytes instead of %" PRIu64, p->pages_name,
			       (uint64_t)st.st_size, p->off);
	return 0;
}

/* Only its size; each of its pages has a sum of its own. */
static void note_size(const struct pagemap_writer *p)
{
	struct img_sum sum = {.size = p->off};

	if (!p->sums)
		return;
	memcpy(sum.name, p->pages_name, sizeof(sum.name));
	img_sums_note(p->dir->sums, &sum);
}

static int finish(struct pagemap_writer *p, struct err *err)
{
	TRY(put_last(p, err));
	TRY(check_pages(p, err));
	note_size(p);
	page_sums_end(TAKE_PTR(p->sums), p->off);
	TRY(img_close(TAKE_PTR(p->w), err));
	if (p->pages_fd >= 0 && close(TAKE_FD(p->pages_fd)) < 0)
		return err_sys(err, -errno, "%s: close", p->pages_name);
	return 0;
}

int pagemap_close(struct pagemap_writer *p, struct err *err)
{
	int r = finish(p, err);

	pagemap_abort(p);
	return r;
}

void pagemap_abort(struct pagemap_writer *p)
{
	if (!p)
		return;
	img_abort(p->w);
	page_sums_drop(p->sums);
	fd_close(p->pages_fd);
	free(p);
}
