/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All are taken while the tree is frozen, so that they are those of the files as the program knows
 * them. What can be had at once is noted at once; large checksums are taken by threads while memory
 * is written, and are waited for before files.img.
 *
 * A file that the tree may write to isn't what it was as soon as these images have been restored
 * once. By default its checksum is noted for policies that ask for it only (`may_change`).
 *
 * A file that is open to append only (a log) may be appended to by others as well: its size isn't
 * recorded in `size`, which readers compare, but in `log_size`, for policies that ask for it.
 */
#include "file/fingerprint.h"

#include "base/auto.h"
#include "base/log.h"
#include "file/policy.h"
#include "kernel/procmap.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

#define SMALLEST_ELF 64 /* bytes: less has no build id */

static struct fingerprints *get(struct files *f)
{
	if (!f->fingerprints) {
		f->fingerprints = arena_new_of(f->a, struct fingerprints);
		f->fingerprints->contents = contents_new(f->root, f->a);
		f->fingerprints->maps = -EBADF;
	}
	return f->fingerprints;
}

void fingerprints_done(struct files *f)
{
	struct fingerprints *fp = f->fingerprints;

	if (!fp)
		return;
	contents_free(fp->contents);
	vec_done(&fp->list);
	vec_done(&fp->uses);
	map_done(&fp->real);
	fp->maps = fd_close(fp->maps);
}

/* -------------------------------------------------------------- build ids */

static int maps_of(struct fingerprints *fp, const struct target *t)
{
	if (fp->maps < 0 || fp->maps_pid != t->pid) {
		fd_close(fp->maps);
		fp->maps = openat(t->proc, "maps", O_RDONLY | O_CLOEXEC);
		fp->maps_pid = t->pid;
	}
	return fp->maps;
}

/* Of a mapped file the kernel tells it, without an open. It looks at less than we do. */
static void ask_kernel(struct fingerprints *fp, const struct origin *o, struct content *c)
{
	uint8_t id[PROCMAP_BUILD_ID_MAX];
	int maps, len;

	if (o->fd.n >= 0 || o->link || content_knows_build_id(c))
		return;
	maps = maps_of(fp, o->t);
	len = maps < 0 ? maps : procmap_build_id(maps, o->map_start, id);
	if (len > 0)
		content_set_build_id(c, id, (size_t)len);
}

static bool put_build_id(struct files *f, const struct fdesc *d, const struct fingerprint *fp)
{
	const uint32_t *words;
	size_t n;

	if (d->st.st_size < SMALLEST_ELF)
		return false;
	ask_kernel(f->fingerprints, &d->o, fp->content);
	n = content_build_id(f->fingerprints->contents, fp->content, &words);
	fp->e->n_build_id = n;
	fp->e->build_id = arena_dup(f->a, words, n * sizeof(words[0]));
	return n;
}

/* ------------------------------------------------------------------ adding */

static void put_size(const struct fdesc *d, RegFileEntry *e)
{
	const uint32_t appending = O_WRONLY | O_APPEND;

	if (!S_ISREG(d->st.st_mode))
		return;
	if ((d->info.flags & appending) == appending) {
		e->has_log_size = true;
		e->log_size = (uint64_t)d->st.st_size;
	} else {
		e->has_size = true;
		e->size = (uint64_t)d->st.st_size;
	}
}

/* Each file system is asked once. */
static bool has_contents(struct fingerprints *fp, const struct fdesc *d)
{
	size_t real = map_get(&fp->real, d->st.st_dev);

	if (real == MAP_NONE) {
		real = contents_are_real(fdesc_fs_magic(d));
		map_put(&fp->real, d->st.st_dev, real);
	}
	return real;
}

static bool wants_contents(const struct files *f)
{
	return (f->opts.identify != FILE_BY_SIZE || f->opts.embed_mapped) && !f->opts.check_only;
}

void fingerprint_add(struct files *f, const struct fdesc *d, RegFileEntry *e, bool linked)
{
	struct fingerprint one = {.e = e, .st = d->st};
	bool has_id = false, ignored;

	put_size(d, e);
	if (!linked || !S_ISREG(d->st.st_mode) || !wants_contents(f) || !has_contents(get(f), d))
		return;
	ignored = policy_of(f->opts.policies, e->name) == POLICY_IGNORE;
	one.content = content_of(get(f)->contents, e->name, &d->st);
	if (f->opts.identify == FILE_BY_BUILD_ID)
		has_id = put_build_id(f, d, &one);
	content_mark(one.content, (ignored ? USE_IGNORED : 0) |
					  ((e->flags & O_ACCMODE) == O_RDONLY ? 0 : USE_OUT));
	if (f->opts.identify != FILE_BY_SIZE && !has_id && !ignored)
		one.sum = content_sum(f->fingerprints->contents, one.content, &f->opts.sum,
				      (uint64_t)d->st.st_size);
	*vec_push(&f->fingerprints->list) = one;
}

static unsigned int use_of(const struct vma *v)
{
	if (!v || !(v->flags & MAP_SHARED))
		return USE_PRIVATE;
	return v->fdflags == O_RDONLY ? USE_SHARED : USE_SHARED_OUT;
}

void fingerprint_use(struct files *f, uint32_t id, const struct vma *v)
{
	struct fingerprints *fp;

	if (!wants_contents(f))
		return;
	fp = get(f);
	while (fp->uses.len <= id)
		*vec_push(&fp->uses) = 0;
	fp->uses.data[id] |= (uint8_t)use_of(v);
}

static void mark_uses(struct fingerprints *fp)
{
	vec_foreach (one, &fp->list)
		if (one->e->id < fp->uses.len)
			content_mark(one->content, fp->uses.data[one->e->id]);
}

/* ------------------------------------------------------------------ finish */

static void put_sum(const struct files *f, const struct fingerprint *one)
{
	uint32_t crc;
	int r = sum_result(one->sum, &crc);

	if (r < 0) {
		log_warn("%s: can't be summed up: %s; a restore will compare its size only",
			 one->e->name, strerror(-r));
		return;
	}
	one->e->has_checksum = one->e->has_checksum_config = true;
	one->e->checksum = crc;
	one->e->checksum_config = f->opts.sum.part;
	if (f->opts.identify == FILE_BY_BUILD_ID &&
	    (content_marks(one->content) & (USE_OUT | USE_SHARED_OUT)))
		one->e->has_may_change = one->e->may_change = true;
	if (f->opts.sum.part == SUM_FULL)
		return;
	one->e->has_checksum_parameter = true;
	one->e->checksum_parameter = f->opts.sum.param;
}

int fingerprints_finish(struct files *f, struct err *err)
{
	struct fingerprints *fp = f->fingerprints;

	if (!fp)
		return 0;
	contents_wait(fp->contents);
	mark_uses(fp);
	vec_foreach (one, &fp->list)
		if (one->sum)
			put_sum(f, one);
	return f->opts.embed_mapped ? embed_files(f, fp, err) : 0;
}
