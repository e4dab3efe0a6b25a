/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The contents of mapped files. A copy in the images comes first; else there is the file of this
 * machine. Its path comes from the images: what is opened is a regular file, or not opened at all
 * (a fifo would block, a device might act), and it is only read if it is the one that was mapped,
 * as far as the record tells.
 */
#include "base/auto.h"
#include "base/io.h"
#include "image/buildid.h"
#include "image/checksum.h"
#include "inspect/space.h"

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#define OLD_GHOST 0x80000000u /* remap_id of images without remap_type */

static struct file_source unusable(const char *why)
{
	return (struct file_source){.fd = -EBADF, .why = why};
}

/* ------------------------------------------------------------------ remaps */

static int load_remaps(struct space *s, struct err *err)
{
	auto_img_reader struct img_reader *r = NULL;
	RemapFilePathEntry *e;
	int got;

	TRY(img_open(&s->cp->dir, IMG_REMAP_FPATH, 0, &r, err));
	while ((got = img_get(r, s->a, &e, err)) > 0) {
		map_put(&s->remap_by_id, e->orig_id, s->remaps.len);
		*vec_push(&s->remaps) = e;
	}
	return got;
}

/* 1: it had been renamed or deleted when it was dumped; another file has its name, or none. */
static int find_remap(struct space *s, uint32_t id, const RemapFilePathEntry **ret)
{
	struct err ignored = ERR_INIT;
	size_t at;

	if (!s->remaps_loaded && load_remaps(s, &ignored) < 0)
		return -EINVAL;
	s->remaps_loaded = true;
	at = map_get(&s->remap_by_id, id);
	if (at == MAP_NONE)
		return 0;
	*ret = s->remaps.data[at];
	return 1;
}

/* ------------------------------------------------------ files of this machine */

static bool same_build(const RegFileEntry *reg, int fd)
{
	uint32_t words[BUILD_ID_WORDS];

	return build_id_read(fd, words) == reg->n_build_id &&
	       memcmp(words, reg->build_id, reg->n_build_id * sizeof(*words)) == 0;
}

static bool same_sum(const RegFileEntry *reg, int fd)
{
	const struct sum_spec spec = {
		.part = (enum sum_part)reg->checksum_config,
		.param = reg->has_checksum_parameter ? reg->checksum_parameter : SUM_PARAM_DEFAULT,
	};
	uint32_t sum;

	return sum_spec_is_valid(reg->checksum_config, spec.param) &&
	       sum_range(fd, &spec, 0, sum_reach(&spec, reg->size), &sum) == 0 &&
	       sum == reg->checksum;
}

/* NULL: it is the file of the record, as far as that tells. */
static const char *find_difference(const RegFileEntry *reg, int fd)
{
	if (reg->n_build_id && !same_build(reg, fd))
		return "the file of this machine has another build id";
	if (reg->has_checksum && !same_sum(reg, fd))
		return "the file of this machine has another checksum";
	return NULL;
}

/* The file with this name, which should be that of the record. */
static struct file_source open_local(const char *path, const RegFileEntry *reg)
{
	auto_close int place = -EBADF, fd = -EBADF;
	struct file_source f = {.size = reg->size};
	const char *difference;
	char name[64];
	struct stat st;

	if (path[0] != '/')
		return unusable("not a path on this machine");
	place = open(path, O_PATH | O_CLOEXEC);
	if (place < 0 || fstat(place, &st) < 0)
		return unusable("it isn't on this machine");
	if (!S_ISREG(st.st_mode))
		return unusable("not a regular file here");
	if (!reg->has_size)
		return unusable("its size wasn't recorded");
	if ((uint64_t)st.st_size != reg->size)
		return unusable("the file of this machine has another size");
	snprintf(name, sizeof(name), "/proc/self/fd/%d", place);
	fd = open(name, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return unusable("the file of this machine can't be read");
	difference = find_difference(reg, fd);
	if (difference)
		return unusable(difference);
	*vec_push(&f.pieces) = (struct file_piece){0, reg->size, 0};
	f.fd = TAKE_FD(fd);
	return f;
}

/* -------------------------------------------------------------- which of them */

static struct file_source open_copy(struct space *s, enum img_kind kind, uint32_t id)
{
	struct err err = ERR_INIT;
	struct file_source f;

	if (space_copy_open(s, kind, id, &f, &err) < 0)
		return unusable(arena_str(s->a, err.text));
	return f;
}

/* link_remap.N: the name that the dump gave it. */
static struct file_source open_linked(struct space *s, uint32_t id, const RegFileEntry *reg)
{
	const FileEntry *link = NULL;
	struct err ignored = ERR_INIT;

	if (checkpoint_file(s->cp, id, &link, &ignored) < 0 || !link || !link->reg)
		return unusable("its other name isn't in files.img");
	return open_local(link->reg->name, reg);
}

static struct file_source open_remapped(struct space *s, const RemapFilePathEntry *e,
					const RegFileEntry *reg)
{
	if (!e->has_remap_type && e->remap_id & OLD_GHOST)
		return open_copy(s, IMG_GHOST_FILE, e->remap_id & ~OLD_GHOST);
	if (e->has_remap_type && e->remap_type == REMAP_TYPE__GHOST)
		return open_copy(s, IMG_GHOST_FILE, e->remap_id);
	if (e->has_remap_type && e->remap_type != REMAP_TYPE__LINKED)
		return unusable("it belongs to a process that was dead");
	return open_linked(s, e->remap_id, reg);
}

static struct file_source open_source(struct space *s, const struct area *a)
{
	const RemapFilePathEntry *remap;
	int remapped;

	if (a->reg->has_embedded_id)
		return open_copy(s, IMG_MAPPED_FILE, a->reg->embedded_id);
	remapped = find_remap(s, a->file_id, &remap);
	if (remapped < 0)
		return unusable("remap-fpath.img, which would tell where it is, is broken");
	return remapped ? open_remapped(s, remap, a->reg) : open_local(a->reg->name, a->reg);
}

const struct file_source *space_file(struct space *s, const struct area *a, bool local,
				     const char **ret_why)
{
	size_t at = map_get(&s->file_by_id, a->file_id);
	const struct file_source *f;

	if (at == MAP_NONE) {
		struct file_source opened = open_source(s, a);

		at = s->files.len;
		*vec_push(&s->files) = opened;
		map_put(&s->file_by_id, a->file_id, at);
	}
	f = &s->files.data[at];
	*ret_why = f->why;
	if (f->fd >= 0 && !local && !f->in_images)
		*ret_why = "files aren't looked at (--no-files)";
	return *ret_why ? NULL : f;
}

/* --------------------------------------------------------------------- bytes */

/* The one that holds `off`, or the first one behind it. */
static size_t first_piece(const struct file_source *f, uint64_t off)
{
	size_t lo = 0, hi = f->pieces.len;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		const struct file_piece *p = &f->pieces.data[mid];

		if (p->off + p->len <= off)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static int read_piece(const struct file_source *f, const struct file_piece *p, uint8_t *buf,
		      uint64_t len, uint64_t off)
{
	uint64_t from = MAX(p->off, off), to = MIN(p->off + p->len, off + len);

	if (from >= to)
		return 0;
	return io_pread_full(f->fd, buf + (from - off), to - from, p->at + (from - p->off));
}

int space_file_read(struct space *s, const struct area *a, void *buf, uint64_t len, uint64_t off,
		    struct err *err)
{
	const char *why;
	const struct file_source *f = space_file(s, a, /* local= */ true, &why);

	if (!f)
		return err_input(err, "%s: %s", a->reg->name, why);
	memset(buf, 0, len);
	for (size_t i = first_piece(f, off); i < f->pieces.len && f->pieces.data[i].off < off + len;
	     i++) {
		int r = read_piece(f, &f->pieces.data[i], buf, len, off);

		if (r < 0)
			return err_sys(err, r, "%s: read", a->reg->name);
	}
	return 0;
}

void space_files_close(struct space *s)
{
	vec_foreach (f, &s->files) {
		fd_close(f->fd);
		vec_done(&f->pieces);
	}
	vec_done(&s->files);
	vec_done(&s->remaps);
	map_done(&s->file_by_id);
	map_done(&s->remap_by_id);
}
