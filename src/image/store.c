/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The directories of a chain. `parent` is a symbolic link, mostly a relative one: the kernel
 * resolves it from the directory it is in, so that directories which are moved together stay
 * together.
 *
 * A link that leads to nothing, or to a dump that didn't end, only matters when a page is left to
 * the parent: the reason is kept until then.
 */
#include "image/store.h"

#include "base/auto.h"
#include "image/check_each.h"
#include "image/parent.h"
#include "image/store_priv.h"
#include "image/sums.h"

#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

/* A link's text, or "?". */
static void read_link(int dirfd, const char *name, char to[PATH_MAX])
{
	ssize_t n = readlinkat(dirfd, name, to, PATH_MAX - 1);

	if (n <= 0) {
		to[0] = '?';
		n = 1;
	}
	to[n] = '\0';
}

static char *path_of_fd(int fd)
{
	char name[64], path[PATH_MAX];

	snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	read_link(AT_FDCWD, name, path);
	return xstrdup(path);
}

int store_err_in(const struct page_store *s, size_t level, struct err *err)
{
	return level ? err_in(err, "%s", s->levels.data[level].path) : err->code;
}

/* ---------------------------------------------------------------- levels */

static int identify(struct store_level *l, struct err *err)
{
	struct stat st;

	if (fstat(l->dir.fd, &st) < 0)
		return err_sys(err, -errno, "%s: stat", l->path);
	l->dev = st.st_dev;
	l->ino = st.st_ino;
	return 0;
}

static int refuse_loop(const struct page_store *s, struct err *err)
{
	const struct store_level *last = &s->levels.data[s->levels.len - 1];

	for (size_t i = 0; i + 1 < s->levels.len; i++) {
		const struct store_level *l = &s->levels.data[i];

		if (l->dev != last->dev || l->ino != last->ino)
			continue;
		err_input(err,
			  "%s: its images build on themselves: the link '" PARENT_LINK
			  "' of %s leads back to it",
			  last->path, s->levels.data[s->levels.len - 2].path);
		return err_hint(err, "restore the link, or take another dump");
	}
	return 0;
}

static int refuse_foreign(const struct page_store *s, struct err *err)
{
	const struct store_level *parent = &s->levels.data[s->levels.len - 1];
	const struct store_level *child = parent - 1;

	if (!child->chain.parent_run_id[0] ||
	    strcmp(child->chain.parent_run_id, parent->chain.run_id) == 0)
		return 0;
	err_input(err,
		  "%s: not the images that those in %s were made with: they are of run %s "
		  "instead of %s",
		  parent->path, child->path,
		  parent->chain.run_id[0] ? parent->chain.run_id : "unknown",
		  child->chain.parent_run_id);
	return err_hint(err, "let '" PARENT_LINK "' in %s lead to the images of that run",
			child->path);
}

/* 0: an unfinished dump. */
static int read_level(struct store_level *l, struct err *err)
{
	TRY(identify(l, err));
	/* Before the sums are read, to which a missing image is damage. */
	if (faccessat(l->dir.fd, "inventory.img", F_OK, 0) < 0 && errno == ENOENT)
		return 0;
	TRY(img_sums_read(&l->dir, err));
	return inventory_read_chain(&l->dir, &l->chain, err);
}

static void drop_level(struct page_store *s)
{
	struct store_level *l = &s->levels.data[--s->levels.len];

	for (size_t i = 0; i < l->images.len; i++) {
		struct store_image *im = l->images.data[i];

		pagemap_free(im->pm);
		runs_done(&im->runs);
		free(im->used);
		if (im->map)
			free(im->map->pieces);
		free(im->map);
		free(im);
	}
	vec_done(&l->images);
	map_done(&l->tasks);
	map_done(&l->shmems);
	if (s->levels.len) {
		fd_close(l->dir.fd);
		img_sums_free(l->dir.sums);
	}
	free(l->path);
}

/* Says why later, if somebody needs a page from there. */
static void note_no_parent(struct page_store *s, const char *why)
{
	const struct store_level *child = &s->levels.data[s->levels.len - 1];
	char target[PATH_MAX];

	read_link(child->dir.fd, PARENT_LINK, target);
	err_input(&s->no_parent, "%s/" PARENT_LINK ": leads to %s: %s", child->path, target, why);
	err_hint(&s->no_parent, "move the directories of a chain together, and keep all of them");
}

/* 1: there is one more level; 0: the chain ends here. */
static int add_parent(struct page_store *s, struct err *err)
{
	const struct store_level *child = &s->levels.data[s->levels.len - 1];
	struct store_level *l;
	struct stat st;
	int got, fd = openat(child->dir.fd, PARENT_LINK, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM))
		return err_sys(err, -errno, "%s/" PARENT_LINK ": open", child->path);
	if (fd < 0) {
		const char *why = strerror(errno);

		if (fstatat(child->dir.fd, PARENT_LINK, &st, AT_SYMLINK_NOFOLLOW) == 0)
			note_no_parent(s, why);
		return 0;
	}
	l = vec_push(&s->levels);
	*l = (struct store_level){.dir = {.fd = fd, .work_fd = fd}, .path = path_of_fd(fd)};
	l->dir.path = l->path;
	l->dir.sums = s->levels.data[0].dir.sums ? img_sums_new() : NULL;
	got = read_level(l, err);
	if (got < 0)
		return err_in(err, "%s", l->path);
	TRY(refuse_loop(s, err));
	if (got == 0) {
		drop_level(s);
		note_no_parent(s, "there is no inventory.img: a dump that didn't end");
		return 0;
	}
	TRY(refuse_foreign(s, err));
	return 1;
}

static int open_chain(struct page_store *s, const struct img_dir *dir, struct err *err)
{
	struct store_level *l = vec_push(&s->levels);
	int got;

	*l = (struct store_level){.dir = *dir, .path = xstrdup(dir->path)};
	got = read_level(l, err);
	if (got == 0) {
		err_input(err, "%s: there is no inventory.img: a dump that didn't end", l->path);
		return err_hint(err, "name the directory of a complete dump");
	}
	while (got > 0)
		got = add_parent(s, err);
	return got;
}

int page_store_open(const struct img_dir *dir, struct page_store **ret, struct err *err)
{
	struct page_store *s = xcalloc(1, sizeof(*s));
	int r;

	s->no_parent = ERR_INIT;
	r = open_chain(s, dir, err);
	if (r < 0) {
		page_store_close(s);
		return r;
	}
	*ret = s;
	return 0;
}

void page_store_close(struct page_store *s)
{
	if (!s)
		return;
	while (s->levels.len)
		drop_level(s);
	vec_done(&s->levels);
	free(s);
}

size_t page_store_depth(const struct page_store *s)
{
	return s->levels.len;
}

const struct img_dir *page_store_dir(const struct page_store *s, size_t level)
{
	return &s->levels.data[level].dir;
}

const char *page_store_path(const struct page_store *s, size_t level)
{
	return s->levels.data[level].path;
}

bool page_store_knows_cow(const struct page_store *s)
{
	return s->levels.data[0].chain.cow;
}

/* ---------------------------------------------------------------- images */

static struct store_image *image_new(struct store_level *l, enum img_kind kind, uint64_t id)
{
	struct store_image *im = xcalloc(1, sizeof(*im));

	map_put(kind == IMG_PAGEMAP ? &l->tasks : &l->shmems, id, l->images.len);
	*vec_push(&l->images) = im;
	im->kind = kind;
	im->id = id;
	return im;
}

/*
 * The pages stay mapped; the descriptors of thousands of tasks in a long chain would be more than a
 * process may have.
 */
static int let_go_of_file(struct store_image *im, struct err *err)
{
	struct stat st;

	if (im->pm->fd < 0)
		return 0;
	if (fstat(im->pm->fd, &st) < 0)
		return err_sys(err, -errno, "%s: stat", im->pm->pages_name);
	im->dev = st.st_dev;
	im->ino = st.st_ino;
	im->pm->fd = fd_close(im->pm->fd);
	return 0;
}

int store_image_get(struct page_store *s, size_t level, enum img_kind kind, uint64_t id,
		    struct store_image **ret, struct err *err)
{
	struct store_level *l = &s->levels.data[level];
	size_t at = map_get(kind == IMG_PAGEMAP ? &l->tasks : &l->shmems, id);
	struct pagemap *pm;
	struct runs runs;

	if (at != MAP_NONE) {
		*ret = l->images.data[at];
		return 0;
	}
	if (pagemap_load_packed(&l->dir, kind, id, &runs, &pm, err) < 0)
		return store_err_in(s, level, err);
	*ret = image_new(l, kind, id);
	(*ret)->level = level;
	(*ret)->pm = pm;
	(*ret)->runs = runs;
	return pm ? let_go_of_file(*ret, err) : 0;
}
