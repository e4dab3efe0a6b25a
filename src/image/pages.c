/* SPDX-License-Identifier: Apache-2.0 */
#include "image/pages.h"

#include "base/auto.h"
#include "base/vec.h"
#include "image/schema/pagemap.pb-c.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define PAGE	UINT64_C(4096)
#define PE_ALL	(PE_PARENT | PE_LAZY | PE_PRESENT)

static void pages_name(uint32_t pages_id, char name[IMG_NAME_MAX])
{
	snprintf(name, IMG_NAME_MAX, "pages-%u.img", pages_id);
}

/* --------------------------------------------------------------- writing */

struct pagemap_writer {
	const struct img_dir *dir;
	struct img_writer *map;
	int fd;
	char pages[IMG_NAME_MAX];
	struct page_run last; /* not yet written: it may still grow */
	uint64_t written;     /* pages in the pages file */
};

int pagemap_create(const struct img_dir *dir, enum img_kind kind, uint64_t id, uint32_t pages_id,
		   struct pagemap_writer **ret, struct err *err)
{
	struct pagemap_writer *w = xcalloc(1, sizeof(*w));
	PagemapHead head = PAGEMAP_HEAD__INIT;
	int r;

	w->dir = dir;
	w->fd = -EBADF;
	pages_name(pages_id, w->pages);
	head.pages_id = pages_id;
	r = img_create(dir, kind, id, &w->map, err);
	if (r == 0)
		r = img_put(w->map, &head.base, err);
	if (r == 0 && unlinkat(dir->fd, w->pages, 0) < 0 && errno != ENOENT)
		r = err_sys(err, -errno, "%s: removing the old one", w->pages);
	if (r < 0) {
		pagemap_abort(w);
		return r;
	}
	*ret = w;
	return 0;
}

static int put_last(struct pagemap_writer *w, struct err *err)
{
	PagemapEntry e = PAGEMAP_ENTRY__INIT;

	if (!w->last.npages)
		return 0;
	e.vaddr = w->last.vaddr;
	e.compat_nr_pages = 0;
	e.has_nr_pages = true;
	e.nr_pages = w->last.npages;
	e.has_flags = true;
	e.flags = w->last.flags;
	return img_put(w->map, &e.base, err);
}

int pagemap_add(struct pagemap_writer *w, uint64_t vaddr, uint64_t npages, uint32_t flags,
		uint64_t *ret_off, struct err *err)
{
	struct page_run *l = &w->last;
	uint64_t end = l->vaddr + l->npages * PAGE;

	if (l->npages && vaddr < end)
		return err_bug(err, "pagemap: %llx comes after %llx", (unsigned long long)vaddr,
			       (unsigned long long)end);
	if (l->npages && vaddr == end && flags == l->flags) {
		l->npages += npages;
	} else {
		TRY(put_last(w, err));
		*l = (struct page_run){.vaddr = vaddr, .npages = npages, .flags = flags};
	}
	if (ret_off)
		*ret_off = w->written * PAGE;
	if (flags & PE_PRESENT)
		w->written += npages;
	return 0;
}

int pagemap_pages_fd(struct pagemap_writer *w, struct err *err)
{
	if (w->fd >= 0)
		return w->fd;
	w->fd = openat(w->dir->fd, w->pages, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (w->fd < 0)
		return err_sys(err, -errno, "create %s", w->pages);
	return w->fd;
}

uint64_t pagemap_pages_written(const struct pagemap_writer *w)
{
	return w->written;
}

int pagemap_close(struct pagemap_writer *w, struct err *err)
{
	int ret = put_last(w, err);

	if (ret == 0)
		ret = img_close(TAKE_PTR(w->map), err);
	if (w->fd >= 0) {
		int fd = TAKE_FD(w->fd);

		if (close(fd) < 0 && ret == 0)
			ret = err_sys(err, -errno, "close %s", w->pages);
	}
	pagemap_abort(w);
	return ret;
}

void pagemap_abort(struct pagemap_writer *w)
{
	if (!w)
		return;
	img_abort(w->map);
	fd_close(w->fd);
	free(w);
}

/* --------------------------------------------------------------- reading */

static int open_pages(const struct img_dir *dir, uint32_t pages_id, struct pagemap *p,
		      struct err *err)
{
	char name[IMG_NAME_MAX];
	struct stat st;
	void *map;

	pages_name(pages_id, name);
	p->fd = openat(dir->fd, name, O_RDONLY | O_CLOEXEC);
	if (p->fd < 0 && errno == ENOENT)
		return 0;
	if (p->fd < 0)
		return err_sys(err, -errno, "open %s", name);
	if (fstat(p->fd, &st) < 0)
		return err_sys(err, -errno, "stat %s", name);
	if (!S_ISREG(st.st_mode))
		return err_input(err, "%s is not a regular file", name);
	if (!st.st_size)
		return 0;
	map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, p->fd, 0);
	if (map == MAP_FAILED)
		return err_sys(err, -errno, "map %s", name);
	p->pages = map;
	p->pages_len = (size_t)st.st_size;
	return 0;
}

static int bad_run(const struct pagemap *p, uint64_t vaddr, const char *what, struct err *err)
{
	err_input(err, "%s: pages at %llx: %s", p->name, (unsigned long long)vaddr, what);
	return err_hint(err, "the image is damaged or incomplete: copy the whole directory");
}

/* Old forms: the count in field 2, `in_parent` instead of flags. */
static int decode_run(const struct pagemap *p, const PagemapEntry *e, struct page_run *ret,
		      struct err *err)
{
	*ret = (struct page_run){
		.vaddr = e->vaddr,
		.npages = e->has_nr_pages ? e->nr_pages : e->compat_nr_pages,
		.flags = e->has_flags			     ? e->flags :
			 e->has_in_parent && e->in_parent ? PE_PARENT :
							     PE_PRESENT,
	};
	if (e->vaddr % PAGE)
		return bad_run(p, e->vaddr, "not at a page", err);
	if (!ret->npages || ret->npages > UINT64_MAX / PAGE ||
	    ret->vaddr + ret->npages * PAGE < ret->vaddr)
		return bad_run(p, e->vaddr, "an impossible number of them", err);
	if (ret->flags & ~PE_ALL)
		return bad_run(p, e->vaddr, "unknown flags", err);
	return 0;
}

static int check_run(struct pagemap *p, const struct page_run *prev, struct page_run *run,
		     uint64_t *off, struct err *err)
{
	if (prev && run->vaddr < prev->vaddr + prev->npages * PAGE)
		return bad_run(p, run->vaddr, "out of order", err);
	run->off = *off;
	if (!(run->flags & PE_PRESENT))
		return 0;
	if (run->npages * PAGE > p->pages_len - MIN(*off, (uint64_t)p->pages_len))
		return bad_run(p, run->vaddr, "the pages file ends before them", err);
	*off += run->npages * PAGE;
	return 0;
}

static int read_runs(struct img_reader *r, struct pagemap *p, struct arena *a, struct err *err)
{
	VEC(struct page_run) runs = {0};
	uint64_t off = 0;
	PagemapEntry *e;
	int got;

	while ((got = img_get_as(r, &pagemap_entry__descriptor, a, &e, err)) > 0) {
		struct page_run run;

		got = decode_run(p, e, &run, err);
		if (got == 0)
			got = check_run(p, runs.len ? &runs.data[runs.len - 1] : NULL, &run, &off,
					err);
		if (got < 0)
			break;
		*vec_push(&runs) = run;
		p->npages += run.npages;
	}
	p->runs = runs.data;
	p->nruns = runs.len;
	return got;
}

static int load(const struct img_dir *dir, enum img_kind kind, uint64_t id, struct pagemap *p,
		struct arena *a, struct err *err)
{
	auto_img_reader struct img_reader *r = NULL;
	PagemapHead *head;
	int got;

	TRY(img_open(dir, kind, id, &r, err));
	if (!r)
		return 0;
	got = img_get(r, a, &head, err);
	if (got <= 0)
		return got < 0 ? got : bad_run(p, 0, "the head is missing", err);
	TRY(open_pages(dir, head->pages_id, p, err));
	TRY(read_runs(r, p, a, err));
	return 1;
}

int pagemap_load(const struct img_dir *dir, enum img_kind kind, uint64_t id, bool optional,
		 struct pagemap **ret, struct err *err)
{
	struct pagemap *p = xcalloc(1, sizeof(*p));
	struct arena *a = arena_new();
	int got;

	p->fd = -EBADF;
	img_name(kind, id, p->name);
	got = load(dir, kind, id, p, a, err);
	arena_free(a);
	if (got > 0) {
		*ret = p;
		return 0;
	}
	if (got == 0 && !optional) {
		got = err_input(err, "%s is missing", p->name);
		err_hint(err, "copy the whole images directory");
	}
	pagemap_free(p);
	if (got == 0)
		*ret = NULL;
	return got;
}

void pagemap_free(struct pagemap *p)
{
	if (!p)
		return;
	if (p->pages)
		munmap((void *)p->pages, p->pages_len);
	fd_close(p->fd);
	free(p->runs);
	free(p);
}

size_t pagemap_find(const struct pagemap *p, uint64_t vaddr)
{
	size_t lo = 0, hi = p->nruns;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (p->runs[mid].vaddr + p->runs[mid].npages * PAGE <= vaddr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}
