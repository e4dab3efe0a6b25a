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

static bool is_wanted(unsigned int marks)
{
	return (marks & USE_MAPPED) && !(marks & (USE_SHARED_OUT | USE_IGNORED));
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

/* ids: those of the copies that there are, by content_number(). */
static int embed(struct files *f, struct fingerprints *fp, uint32_t *ids, struct err *err)
{
	uint64_t bytes = 0;
	uint32_t n = 0;

	vec_foreach (one, &fp->list) {
		uint32_t *id = &ids[content_number(one->content)];

		if (!is_wanted(content_marks(one->content)) || !may_refer(one))
			continue;
		if (!*id) {
			TRY(copy(f, fp, one, n + 1, err));
			*id = ++n;
			bytes += (uint64_t)one->st.st_blocks * 512;
		}
		one->e->has_embedded_id = true;
		one->e->embedded_id = *id;
	}
	log_info("%u mapped files are in the images, %" PRIu64 " bytes", n, bytes);
	return 0;
}

int embed_files(struct files *f, struct fingerprints *fp, struct err *err)
{
	auto_free uint32_t *ids = xcalloc(contents_count(fp->contents) + 1, sizeof(*ids));

	return embed(f, fp, ids, err);
}
