/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copies of files that images hold: of deleted ones (ghost-file-ID.img), and of mapped ones
 * (mapped-file-ID.img, --embed-mapped-files). Nothing is copied: it is noted where in the image
 * which piece of the file is.
 */
#include "base/auto.h"
#include "image/schema/ghost-file.pb-c.h"
#include "inspect/space.h"

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

/* As the records behind the head say: what is in no chunk is a hole. */
static int list_chunks(struct img_reader *r, struct arena *a, struct file_source *ret,
		       struct err *err)
{
	uint64_t last = 0;
	GhostChunkEntry *c;
	int got;

	while ((got = img_get_as(r, &ghost_chunk_entry__descriptor, a, &c, err)) > 0) {
		if (c->off < last || c->off > ret->size || c->len > ret->size - c->off)
			return err_input(err,
					 "chunk of %" PRIu64 " bytes at %" PRIu64
					 " is outside of the file or out of order",
					 c->len, c->off);
		*vec_push(&ret->pieces) = (struct file_piece){c->off, c->len, img_tell(r)};
		TRY(img_skip_raw(r, c->len, err));
		last = c->off + c->len;
	}
	return got;
}

static int read_head(struct space *s, struct img_reader *r, struct file_source *ret,
		     struct err *err)
{
	GhostFileEntry *e;
	int got = img_get(r, s->a, &e, err);

	if (got <= 0)
		return got < 0 ? got : err_input(err, "the file is missing or empty");
	if (!S_ISREG(e->mode))
		return err_input(err, "not the copy of a regular file");
	if (!e->chunks) {
		ret->size = img_left(r);
		*vec_push(&ret->pieces) = (struct file_piece){0, ret->size, img_tell(r)};
		return 0;
	}
	if (!e->has_size || e->size > INT64_MAX)
		return err_input(err, "chunks without a size");
	ret->size = e->size;
	return list_chunks(r, s->a, ret, err);
}

int space_copy_open(struct space *s, enum img_kind kind, uint32_t id, struct file_source *ret,
		    struct err *err)
{
	auto_img_reader struct img_reader *r = NULL;
	char name[IMG_NAME_MAX];

	img_name(kind, id, name);
	*ret = (struct file_source){.fd = -EBADF, .in_images = true};
	TRY(img_open(&s->cp->dir, kind, id, &r, err));
	if (read_head(s, r, ret, err) < 0) {
		vec_done(&ret->pieces);
		return err_in(err, "%s", name);
	}
	ret->fd = fcntl(img_fd(r), F_DUPFD_CLOEXEC, 0);
	return ret->fd < 0 ? err_sys(err, -errno, "%s: keep it open", name) : 0;
}
