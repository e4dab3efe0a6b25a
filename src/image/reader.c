/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A length from the file is compared with what is left of the file before anything is done with
 * it, so that a hostile one can neither make us read past the end nor allocate without bounds.
 */
#include "image/kinds.h"

#include "base/auto.h"
#include "base/io.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

struct img_reader {
	const struct img_kind_row *row;
	char name[IMG_NAME_MAX];
	int fd;
	uint64_t size, at;
	uint64_t buf_at;  /* file offset of buf */
	size_t buf_len;
	uint8_t buf[16 * 1024];
};

static int broken(const struct img_reader *r, uint64_t at, const char *what, struct err *err)
{
	err_input(err, "%s: record at %llu: %s", r->name, (unsigned long long)at, what);
	return err_hint(err, "the image is damaged: restore from another copy of it");
}

/* len bytes at the current place; the caller has checked that they are there. */
static int fetch(struct img_reader *r, void *to, size_t len, struct err *err)
{
	uint8_t *out = to;

	while (len) {
		uint64_t skip = r->at - r->buf_at;
		size_t n;

		if (r->at < r->buf_at || skip >= r->buf_len) {
			int e;

			r->buf_at = r->at;
			r->buf_len = MIN(r->size - r->at, (uint64_t)sizeof(r->buf));
			e = io_pread_full(r->fd, r->buf, r->buf_len, r->at);
			if (e < 0)
				return err_sys(err, e, "read %s", r->name);
			skip = 0;
		}
		n = MIN(len, r->buf_len - (size_t)skip);
		memcpy(out, r->buf + skip, n);
		out += n;
		len -= n;
		r->at += n;
	}
	return 0;
}

/* Version 1 images have the type's magic alone; the inventory always. */
static int check_magic(struct img_reader *r, struct err *err)
{
	uint32_t word, common = r->row->home == HOME_WORK ? IMG_MAGIC_SERVICE : IMG_MAGIC_COMMON;

	if (img_left(r) < sizeof(word))
		return broken(r, r->at, "the file ends inside its header", err);
	TRY(fetch(r, &word, sizeof(word), err));
	if (word == r->row->magic)
		return 0;
	if (word != common || r->row->home == HOME_INVENTORY)
		return broken(r, 0, "not an image of this kind", err);
	if (img_left(r) < sizeof(word))
		return broken(r, r->at, "the file ends inside its header", err);
	TRY(fetch(r, &word, sizeof(word), err));
	if (word != r->row->magic)
		return broken(r, 4, "not an image of this kind", err);
	return 0;
}

int img_open(const struct img_dir *dir, enum img_kind kind, uint64_t id, struct img_reader **ret,
	     struct err *err)
{
	auto_img_reader struct img_reader *r = xcalloc(1, sizeof(*r));
	struct stat st;

	r->row = img_kind_row(kind);
	img_name(kind, id, r->name);
	r->fd = openat(r->row->home == HOME_WORK ? dir->work_fd : dir->fd, r->name,
		       O_RDONLY | O_CLOEXEC);
	if (r->fd < 0 && errno == ENOENT) {
		*ret = NULL;
		return 0;
	}
	if (r->fd < 0)
		return err_sys(err, -errno, "open %s", r->name);
	if (fstat(r->fd, &st) < 0)
		return err_sys(err, -errno, "stat %s", r->name);
	if (!S_ISREG(st.st_mode))
		return err_input(err, "%s is not a regular file", r->name);
	r->size = (uint64_t)st.st_size;
	TRY(check_magic(r, err));
	*ret = TAKE_PTR(r);
	return 0;
}

static void *arena_pb_alloc(void *a, size_t size)
{
	return arena_alloc(a, size);
}
static void arena_pb_free(void *a, void *p)
{
	/* Lives as long as the arena. */
}

int img_get_as(struct img_reader *r, const ProtobufCMessageDescriptor *type, struct arena *a,
	       void *ret_msg, struct err *err)
{
	ProtobufCAllocator alloc = {arena_pb_alloc, arena_pb_free, a};
	uint8_t stack[2048];
	uint8_t *data = stack;
	ProtobufCMessage *m;
	uint64_t start;
	uint32_t size;

	if (!r || !img_left(r))
		return 0;
	start = r->at;
	if (img_left(r) < sizeof(size))
		return broken(r, start, "the file ends inside the size of a record", err);
	TRY(fetch(r, &size, sizeof(size), err));
	if (size > img_left(r))
		return broken(r, start, "the file ends inside the record", err);
	if (size > sizeof(stack))
		data = arena_alloc(a, size);
	TRY(fetch(r, data, size, err));
	m = protobuf_c_message_unpack(type, &alloc, size, data);
	if (!m)
		return broken(r, start, "not a valid record of its type", err);
	*(ProtobufCMessage **)ret_msg = m;
	return 1;
}

int img_get(struct img_reader *r, struct arena *a, void *ret_msg, struct err *err)
{
	return r ? img_get_as(r, r->row->type, a, ret_msg, err) : 0;
}

int img_get_raw(struct img_reader *r, void *buf, size_t len, struct err *err)
{
	if (!r || len > img_left(r))
		return r ? broken(r, r->at, "the file ends inside the data of a record", err) :
			   err_bug(err, "raw data of an absent image");
	return fetch(r, buf, len, err);
}

int img_get_raw_arena(struct img_reader *r, struct arena *a, size_t len, void *ret_ptr,
		      struct err *err)
{
	void *p;

	if (!r || len > img_left(r))
		return img_get_raw(r, NULL, len, err);
	p = arena_alloc(a, len);
	TRY(fetch(r, p, len, err));
	*(void **)ret_ptr = p;
	return 0;
}

int img_skip_raw(struct img_reader *r, uint64_t len, struct err *err)
{
	if (!r || len > img_left(r))
		return img_get_raw(r, NULL, SIZE_MAX, err);
	r->at += len;
	return 0;
}

uint64_t img_tell(const struct img_reader *r)
{
	return r ? r->at : 0;
}

uint64_t img_left(const struct img_reader *r)
{
	return r ? r->size - r->at : 0;
}

int img_fd(const struct img_reader *r)
{
	return r ? r->fd : -EBADF;
}

void img_reader_free(struct img_reader *r)
{
	if (!r)
		return;
	fd_close(r->fd);
	free(r);
}

int img_read_opt(const struct img_dir *dir, enum img_kind kind, uint64_t id, struct arena *a,
		 void *ret_msg, struct err *err)
{
	auto_img_reader struct img_reader *r = NULL;

	TRY(img_open(dir, kind, id, &r, err));
	return img_get(r, a, ret_msg, err);
}

int img_read_one(const struct img_dir *dir, enum img_kind kind, uint64_t id, struct arena *a,
		 void *ret_msg, struct err *err)
{
	char name[IMG_NAME_MAX];
	int got = img_read_opt(dir, kind, id, a, ret_msg, err);

	if (got != 0)
		return got < 0 ? got : 0;
	img_name(kind, id, name);
	err_input(err, "%s: the image is missing or empty", name);
	return err_hint(err, "copy the whole images directory");
}
