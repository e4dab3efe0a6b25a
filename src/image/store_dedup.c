/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Giving back the space of pages that nobody needs: what level 0 reaches is marked, the rest of the
 * parents' pages files is punched out. Files keep their length, so that offsets stay.
 *
 * Safe to be interrupted anywhere: only unused bytes are punched, in any order, and level 0 is on
 * disk before. Files are told by inode, not by name: two names can be one file. What has more names
 * than ours, or is itself a link, may be a copy that somebody keeps: left alone.
 */
#include "image/store.h"

#include "base/auto.h"
#include "base/log.h"
#include "base/parse.h"
#include "image/store_priv.h"

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

struct dedup {
	struct page_store *s;
	bool all; /* nothing is to stay */
	uint64_t page_size;
	VEC(struct store_image *) images; /* that have pages, by file and level */
	uint64_t freed;
	struct err *err;
};

/* ----------------------------------------------------------- what there is */

/* pagemap-N.img or pagemap-shmem-N.img */
static bool parse_name(const char *name, enum img_kind *ret_kind, uint64_t *ret_id)
{
	static const enum img_kind kinds[] = {IMG_PAGEMAP, IMG_PAGEMAP_SHMEM};
	const char *digits = strpbrk(name, "0123456789");
	char again[IMG_NAME_MAX];

	if (!digits || !scan_u64(&digits, 10, ret_id))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		*ret_kind = kinds[i];
		img_name(kinds[i], *ret_id, again);
		if (strcmp(again, name) == 0)
			return true;
	}
	return false;
}

/* Level 0 must be whole; a parent may have pagemaps, left over from others, that aren't. */
static int load_one(struct dedup *d, size_t level, enum img_kind kind, uint64_t id)
{
	struct store_image *im;
	struct err ignored = ERR_INIT;

	if (level == 0 && !d->all) {
		TRY(store_image_get(d->s, level, kind, id, &im, d->err));
		return im->pm ? store_mark_used(d->s, im, d->err) : 0;
	}
	if (store_image_get(d->s, level, kind, id, &im, &ignored) < 0)
		log_debug("%s: its pages stay", ignored.text);
	return 0;
}

static int load_level(struct dedup *d, size_t level)
{
	const struct store_level *l = &d->s->levels.data[level];
	int fd = openat(l->dir.fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	auto_closedir DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	const struct dirent *e;

	if (!dir) {
		fd_close(fd);
		return err_sys(d->err, -errno, "%s: list", l->path);
	}
	while ((e = readdir(dir))) {
		enum img_kind kind;
		uint64_t id;

		if (parse_name(e->d_name, &kind, &id))
			TRY(load_one(d, level, kind, id));
	}
	return 0;
}

/* Level 0 first: it may refuse, and its owners are looked up on the way. */
static int load_all(struct dedup *d)
{
	for (size_t level = 0; level < d->s->levels.len; level++)
		TRY(load_level(d, level));
	return 0;
}

/* ---------------------------------------------------------------- to disk */

static int sync_file(int dirfd, const char *name, const char *path, struct err *err)
{
	auto_close int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0 || fsync(fd) < 0)
		return err_sys(err, -errno, "%s/%s: sync", path, name);
	return 0;
}

/* The new images, before what they replace goes. */
static int sync_level0(const struct dedup *d)
{
	const struct store_level *l = &d->s->levels.data[0];

	vec_foreach (im, &l->images) {
		if (!(*im)->pm)
			continue;
		TRY(sync_file(l->dir.fd, (*im)->pm->name, l->path, d->err));
		TRY(sync_file(l->dir.fd, (*im)->pm->pages_name, l->path, d->err));
	}
	TRY(sync_file(l->dir.fd, "inventory.img", l->path, d->err));
	return sync_file(l->dir.fd, ".", l->path, d->err);
}

/* ----------------------------------------------------------------- punching */

static int punch(struct dedup *d, int fd, const struct store_image *im, uint64_t off, uint64_t end)
{
	const char *path = d->s->levels.data[im->level].path;

	if (off >= end)
		return 0;
	if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)off,
		      (off_t)(end - off)) == 0)
		return 0;
	if (errno != EOPNOTSUPP && errno != ENOSYS)
		return err_sys(d->err, -errno, "%s/%s: punch a hole", path, im->pm->pages_name);
	err_kernel(d->err, "%s/%s: this filesystem can't punch holes", path, im->pm->pages_name);
	return err_hint(d->err, "keep the images, or copy them to ext4, xfs, btrfs or tmpfs");
}

static bool is_used(const struct store_image *im, uint64_t page)
{
	return im->used && (im->used[page / 8] & (1u << page % 8));
}

/* All pages but those that are used. */
static int punch_unused(struct dedup *d, int fd, const struct store_image *im)
{
	uint64_t npages = im->pm->pages_len / d->page_size, first = 0;

	for (uint64_t page = 0; page < npages; page++) {
		if (d->all || !is_used(im, page))
			continue;
		TRY(punch(d, fd, im, first * d->page_size, page * d->page_size));
		first = page + 1;
	}
	return punch(d, fd, im, first * d->page_size, im->pm->pages_len);
}

/* May be another file by now, or one that isn't only ours. */
static bool is_ours(const struct store_image *im, const char *path, const struct stat *st)
{
	if (st->st_dev != im->dev || st->st_ino != im->ino || !S_ISREG(st->st_mode)) {
		log_warn("%s/%s: a link, or another file meanwhile: left as it is", path,
			 im->pm->pages_name);
		return false;
	}
	if (st->st_nlink > 1)
		log_warn("%s/%s: the file has other names: left as it is", path,
			 im->pm->pages_name);
	return st->st_nlink == 1;
}

static int dedup_file(struct dedup *d, const struct store_image *im)
{
	const struct store_level *l = &d->s->levels.data[im->level];
	struct stat before, after;
	auto_close int fd = -EBADF;

	if (fstatat(l->dir.fd, im->pm->pages_name, &before, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(d->err, -errno, "%s/%s: stat", l->path, im->pm->pages_name);
	if (!is_ours(im, l->path, &before))
		return 0;
	fd = openat(l->dir.fd, im->pm->pages_name, O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 || fstat(fd, &before) < 0)
		return err_sys(d->err, -errno, "%s/%s: open", l->path, im->pm->pages_name);
	if (!is_ours(im, l->path, &before))
		return 0;
	TRY(punch_unused(d, fd, im));
	if (fstat(fd, &after) == 0 && after.st_blocks < before.st_blocks)
		d->freed += (uint64_t)(before.st_blocks - after.st_blocks) * 512;
	return 0;
}

/* By file; of one file, the newest level first. */
static int by_file(const void *a, const void *b)
{
	const struct store_image *x = *(struct store_image *const *)a;
	const struct store_image *y = *(struct store_image *const *)b;
	const uint64_t p[] = {x->dev, x->ino, x->level, x->id, x->kind};
	const uint64_t q[] = {y->dev, y->ino, y->level, y->id, y->kind};

	for (size_t i = 0; i < ARRAY_SIZE(p); i++) {
		if (p[i] != q[i])
			return p[i] < q[i] ? -1 : 1;
	}
	return 0;
}

static void list_images(struct dedup *d)
{
	vec_foreach (l, &d->s->levels) {
		vec_foreach (im, &l->images)
			if ((*im)->pm && (*im)->pm->pages_len)
				*vec_push(&d->images) = *im;
	}
	if (d->images.len)
		qsort(d->images.data, d->images.len, sizeof(*d->images.data), by_file);
}

/* Of another pagemap with the same pages file. */
static void add_used(const struct dedup *d, struct store_image *to, const struct store_image *from)
{
	size_t len = MIN(to->pm->pages_len, from->pm->pages_len) / d->page_size / 8 + 1;

	if (!from->used)
		return;
	if (!to->used)
		to->used = xcalloc(to->pm->pages_len / d->page_size / 8 + 1, 1);
	for (size_t i = 0; i < len; i++)
		to->used[i] |= from->used[i];
}

static int dedup_files(struct dedup *d)
{
	list_images(d);
	for (size_t i = 0, n; i < d->images.len; i += n) {
		struct store_image **im = &d->images.data[i];

		for (n = 1;
		     i + n < d->images.len && im[n]->dev == im[0]->dev && im[n]->ino == im[0]->ino;
		     n++)
			add_used(d, im[0], im[n]);
		if (d->all || im[0]->level)
			TRY(dedup_file(d, im[0]));
	}
	return 0;
}

int page_store_dedup(struct page_store *s, uint64_t *ret_freed, struct err *err)
{
	struct dedup d = {.s = s, .page_size = (uint64_t)getpagesize(), .err = err};
	int r = load_all(&d);

	if (s->no_parent.code)
		log_warn("%s", s->no_parent.text);
	if (r == 0)
		r = sync_level0(&d);
	if (r == 0)
		r = dedup_files(&d);
	vec_done(&d.images);
	if (r == 0)
		*ret_freed = d.freed;
	return r;
}

int page_store_punch_all(struct page_store *s, struct err *err)
{
	struct dedup d = {.s = s, .all = true, .page_size = (uint64_t)getpagesize(), .err = err};
	int r = load_all(&d);

	if (r == 0)
		r = dedup_files(&d);
	vec_done(&d.images);
	return r;
}
