/* SPDX-License-Identifier: Apache-2.0 */
/*
 * --embed-mapped-files: mapped-file-%x.img has the whole of a file, in the format of ghost files,
 * one for each inode. Whole, since a program may map more of a file later, through what it has
 * mapped.
 *
 * A file that the program has mapped shared and could write to isn't copied: what it writes is for
 * the file that others know. At a restore the copy takes the place of the file only if that has
 * changed (validate.c); then it is a ghost like any other.
 */
#include "base/log.h"
#include "file/fingerprint.h"
#include "file/remap.h"

#include <fcntl.h>
#include <inttypes.h>

/* What is done about an inode, by content_number(). */
struct inode {
	uint8_t uses;
	bool ignored;
	uint32_t id; /* of its copy; 0: none */
};

static uint8_t uses_of(const struct fingerprints *fp, const struct fingerprint *one)
{
	return one->e->id < fp->uses.len ? fp->uses.data[one->e->id] : 0;
}

static bool is_wanted(const struct inode *o)
{
	return o->uses && !(o->uses & USE_SHARED_OUT) && !o->ignored;
}

/* Who opened it to write wants the file itself. */
static bool may_refer(const struct fingerprint *one)
{
	return (one->e->flags & O_ACCMODE) == O_RDONLY;
}

static int copy(struct files *f, struct fingerprints *fp, const struct fingerprint *one,
		uint32_t id, struct err *err)
{
	auto_close int fd = content_open(fp->contents, one->content);

	if (fd < 0)
		return err_sys(err, fd, "--embed-mapped-files: open %s", one->e->name);
	if (ghost_write(f, IMG_MAPPED_FILE, id, &one->st, NULL, fd, err) < 0)
		return err_in(err, "--embed-mapped-files: %s", one->e->name);
	log_debug("%s: copied to mapped-file-%x.img", one->e->name, id);
	return 0;
}

static int embed(struct files *f, struct fingerprints *fp, struct inode *inodes, struct err *err)
{
	uint64_t bytes = 0;
	uint32_t n = 0;

	vec_foreach (one, &fp->list) {
		struct inode *o = &inodes[content_number(one->content)];

		o->uses |= uses_of(fp, one);
		o->ignored |= one->ignored;
	}
	vec_foreach (one, &fp->list) {
		struct inode *o = &inodes[content_number(one->content)];

		if (!is_wanted(o) || !may_refer(one))
			continue;
		if (!o->id) {
			TRY(copy(f, fp, one, n + 1, err));
			o->id = ++n;
			bytes += (uint64_t)one->st.st_blocks * 512;
		}
		one->e->has_embedded_id = true;
		one->e->embedded_id = o->id;
	}
	log_info("%u mapped files are in the images, %" PRIu64 " bytes", n, bytes);
	return 0;
}

int embed_files(struct files *f, struct fingerprints *fp, struct err *err)
{
	auto_free struct inode *inodes = xcalloc(contents_count(fp->contents) + 1, sizeof(*inodes));

	return embed(f, fp, inodes, err);
}
