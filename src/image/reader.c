/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading image files. Nothing in a file is trusted: the size of each record is held against what
 * is left of the file before a byte is allocated for it, and only regular files are read (a fifo
 * would block, a device might never end).
 *
 * Small files cost an open, a stat and one read. Reads are at offsets of our own: the descriptor's
 * position stays untouched, and the caller may copy from it.
 */
#include "image/image.h"

#include "base/auto.h"
#include "base/crc32c.h"
#include "base/io.h"
#include "image/kinds.h"
#include "image/sums.h"
#include "image/wire.h"

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#define BUF_SIZE (64 * 1024)

struct img_reader {
	const struct img_row *row;
	int fd;
	char name[IMG_NAME_MAX];
	uint64_t size;
	uint64_t off;	  /* next unread byte */
	uint64_t record;  /* where the last record started */
	uint64_t buf_off; /* of buf in the file */
	size_t buf_len;
	uint8_t *buf; /* BUF_SIZE, or the file's size if that is less */
	/* The last type that was asked for, and whether its depth must be looked at. */
	const ProtobufCMessageDescriptor *type;
	bool recursive;
};

/* ---------------------------------------------------------------- bytes */

static bool is_buffered(const struct img_reader *r, size_t len)
{
	return r->off >= r->buf_off && r->off - r->buf_off <= r->buf_len &&
	       len <= r->buf_len - (size_t)(r->off - r->buf_off);
}

/* Makes the next `len` bytes, at most BUF_SIZE and at most what is left, readable in the buffer. */
static int buffer(struct img_reader *r, size_t len, const uint8_t **ret, struct err *err)
{
	size_t want = (size_t)MIN(r->size - r->off, (uint64_t)BUF_SIZE);
	int e;

	if (!is_buffered(r, len)) {
		r->buf_len = 0;
		e = io_pread_full(r->fd, r->buf, want, r->off);
		if (e < 0)
			return err_sys(err, e, "%s: read", r->name);
		r->buf_off = r->off;
		r->buf_len = want;
	}
	*ret = r->buf + (r->off - r->buf_off);
	return 0;
}

static int take(struct img_reader *r, void *buf, size_t len, struct err *err)
{
	const uint8_t *p;
	int e;

	if (is_buffered(r, len) || len < BUF_SIZE) {
		TRY(buffer(r, len, &p, err));
		memcpy(buf, p, len);
	} else {
		e = io_pread_full(r->fd, buf, len, r->off);
		if (e < 0)
			return err_sys(err, e, "%s: read", r->name);
	}
	r->off += len;
	return 0;
}

static int truncated(const struct img_reader *r, uint64_t len, struct err *err)
{
	err_input(err,
		  "%s: record at %" PRIu64 ": truncated: %" PRIu64 " bytes at %" PRIu64
		  ", but the file ends at %" PRIu64,
		  r->name, r->record, len, r->off, r->size);
	return err_hint(err, "copy the images again, whole, or take another dump");
}

/* --------------------------------------------------------------- opening */

static int check_magic(struct img_reader *r, struct err *err)
{
	static const uint32_t family[] = {
		[IMG_FAMILY_COMMON] = IMG_MAGIC_COMMON,
		[IMG_FAMILY_SERVICE] = IMG_MAGIC_SERVICE,
	};
	uint32_t word;

	if (r->size < sizeof(word))
		return err_input(err, "%s: truncated: its header is cut off", r->name);
	TRY(take(r, &word, sizeof(word), err));
	/* Images of version 1 have no family word in front, the inventory never has. */
	if (word == r->row->magic)
		return 0;
	if (r->row->family == IMG_FAMILY_BARE || word != family[r->row->family])
		return err_input(err, "%s: not a checkpoint image: it starts with %#x", r->name,
				 word);
	if (img_left(r) < sizeof(word))
		return err_input(err, "%s: truncated: its header is cut off", r->name);
	TRY(take(r, &word, sizeof(word), err));
	if (word != r->row->magic)
		return err_input(err, "%s: an image of another kind: magic %#x instead of %#x",
				 r->name, word, r->row->magic);
	return 0;
}

/* CRC32C of the file up to here, whatever of it was read. */
int img_reader_crc(struct img_reader *r, uint32_t *ret, struct err *err)
{
	uint64_t end = r->off;
	uint32_t crc = 0;
	int e = 0;

	for (r->off = 0; r->off < end && e == 0;) {
		size_t n = (size_t)MIN(end - r->off, (uint64_t)BUF_SIZE);
		const uint8_t *p;

		e = buffer(r, n, &p, err);
		if (e == 0)
			crc = crc32c(crc, p, n);
		r->off += n;
	}
	r->off = end;
	*ret = crc;
	return e;
}

static int changed(const struct img_reader *r, const char *how, struct err *err)
{
	err_input(err, "%s: %s since it was dumped", r->name, how);
	return err_hint(err, "copy the images again, whole, or take another dump; if you have "
			     "changed one on purpose, pass --no-verify");
}

/* Is it what the dump wrote? */
static int check_sum(struct img_reader *r, struct img_sum *sum, struct err *err)
{
	uint32_t crc;

	if (r->size < sum->size)
		return changed(r, "was cut off", err);
	if (r->size > sum->size)
		return changed(r, "has grown", err);
	if (!sum->has_crc || sum->verified)
		return 0;
	r->off = r->size;
	TRY(img_reader_crc(r, &crc, err));
	r->off = 0;
	if (crc != sum->crc)
		return changed(r, "has changed", err);
	sum->verified = true;
	return 0;
}

static int open_regular(struct img_reader *r, int dirfd, struct err *err)
{
	struct stat st;

	r->fd = openat(dirfd, r->name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (r->fd < 0 && errno == ENOENT)
		return 0;
	if (r->fd < 0)
		return err_sys(err, -errno, "%s: open", r->name);
	if (fstat(r->fd, &st) < 0)
		return err_sys(err, -errno, "%s: stat", r->name);
	if (!S_ISREG(st.st_mode))
		return err_input(err, "%s: not a regular file", r->name);
	r->size = (uint64_t)st.st_size;
	return 0;
}

static int absent(const struct img_reader *r, const struct img_sum *sum, struct err *err)
{
	if (!sum)
		return 0;
	err_input(err, "%s: missing", r->name);
	return err_hint(err, "copy the images again, all of them");
}

int img_open(const struct img_dir *dir, enum img_kind kind, uint64_t id, struct img_reader **ret,
	     struct err *err)
{
	auto_img_reader struct img_reader *r = xcalloc(1, sizeof(*r));
	bool known = img_sums_known(dir->sums) && img_row(kind)->family != IMG_FAMILY_SERVICE;
	struct img_sum *sum;

	*ret = NULL;
	r->fd = -EBADF;
	r->row = img_row(kind);
	img_name(kind, id, r->name);
	sum = known ? img_sums_find(dir->sums, r->name) : NULL;
	if (known && !sum)
		return 0; /* left over from another dump */
	TRY(open_regular(r, img_dirfd(dir, kind), err));
	if (r->fd < 0)
		return absent(r, sum, err);
	r->buf = xcalloc(1, (size_t)MIN(r->size, (uint64_t)BUF_SIZE));
	if (sum)
		TRY(check_sum(r, sum, err));
	TRY(check_magic(r, err));
	*ret = TAKE_PTR(r);
	return 0;
}

void img_reader_free(struct img_reader *r)
{
	if (!r)
		return;
	fd_close(r->fd);
	free(r->buf);
	free(r);
}

/* --------------------------------------------------------------- records */

static void *alloc_from_arena(void *arena, size_t size)
{
	return arena_alloc(arena, size);
}

static void free_in_arena(void *arena, void *p)
{
	(void)arena; /* goes with the arena */
	(void)p;
}

/* protobuf-c only says that a message is bad. */
static int find_out_why(const struct img_reader *r, const ProtobufCMessageDescriptor *type,
			const uint8_t *data, size_t len, struct err *err)
{
	if (wire_check(type, data, len, err) == 0)
		err_input(err, "not a valid %s", type->name);
	return err_in(err, "%s: record at %" PRIu64, r->name, r->record);
}

static int unpack(struct img_reader *r, const ProtobufCMessageDescriptor *type, const uint8_t *data,
		  size_t len, struct arena *a, void *ret_msg, struct err *err)
{
	ProtobufCAllocator allocator = {alloc_from_arena, free_in_arena, a};
	ProtobufCMessage *msg;

	if (r->type != type) {
		r->type = type;
		r->recursive = wire_is_recursive(type);
	}
	if (r->recursive && wire_check(type, data, len, err) < 0)
		return err_in(err, "%s: record at %" PRIu64, r->name, r->record);
	msg = protobuf_c_message_unpack(type, &allocator, len, data);
	if (!msg)
		return find_out_why(r, type, data, len, err);
	/* A newer schema's fields, or bytes that protobuf-c takes for such, as it does field 0. */
	if (msg->n_unknown_fields && wire_check(type, data, len, err) < 0)
		return err_in(err, "%s: record at %" PRIu64, r->name, r->record);
	memcpy(ret_msg, &msg, sizeof(msg));
	return 1;
}

/* A record that doesn't fit the buffer. */
static int unpack_big(struct img_reader *r, const ProtobufCMessageDescriptor *type, size_t len,
		      struct arena *a, void *ret_msg, struct err *err)
{
	auto_free uint8_t *data = xcalloc(1, len);

	TRY(take(r, data, len, err));
	return unpack(r, type, data, len, a, ret_msg, err);
}

static int get_record(struct img_reader *r, const ProtobufCMessageDescriptor *type, size_t len,
		      struct arena *a, void *ret_msg, struct err *err)
{
	const uint8_t *data;

	if (len > BUF_SIZE)
		return unpack_big(r, type, len, a, ret_msg, err);
	TRY(buffer(r, len, &data, err));
	r->off += len;
	return unpack(r, type, data, len, a, ret_msg, err);
}

int img_get_as(struct img_reader *r, const ProtobufCMessageDescriptor *type, struct arena *a,
	       void *ret_msg, struct err *err)
{
	uint32_t len;

	if (!r || !img_left(r))
		return 0;
	r->record = r->off;
	if (img_left(r) < sizeof(len))
		return truncated(r, sizeof(len), err);
	TRY(take(r, &len, sizeof(len), err));
	if (len > img_left(r))
		return truncated(r, len, err);
	if (len > IMG_RECORD_MAX)
		return err_input(err,
				 "%s: record at %" PRIu64 ": %u bytes are more than any record has",
				 r->name, r->record, len);
	return get_record(r, type, len, a, ret_msg, err);
}

int img_get(struct img_reader *r, struct arena *a, void *ret_msg, struct err *err)
{
	return r ? img_get_as(r, r->row->type, a, ret_msg, err) : 0;
}

/* ----------------------------------------------------- bytes of a record */

int img_get_raw(struct img_reader *r, void *buf, size_t len, struct err *err)
{
	if (len > img_left(r))
		return truncated(r, len, err);
	return len ? take(r, buf, len, err) : 0;
}

int img_get_raw_arena(struct img_reader *r, struct arena *a, size_t len, void *ret_ptr,
		      struct err *err)
{
	void *data;

	if (len > img_left(r))
		return truncated(r, len, err);
	if (len > IMG_RECORD_MAX)
		return err_input(err, "%s: %zu bytes at %" PRIu64 " are more than any record has",
				 r->name, len, r->off);
	data = arena_alloc(a, len);
	TRY(img_get_raw(r, data, len, err));
	memcpy(ret_ptr, &data, sizeof(data));
	return 0;
}

int img_skip_raw(struct img_reader *r, uint64_t len, struct err *err)
{
	if (len > img_left(r))
		return truncated(r, len, err);
	r->off += len;
	return 0;
}

uint64_t img_tell(const struct img_reader *r)
{
	return r->off;
}

uint64_t img_left(const struct img_reader *r)
{
	return r->size - r->off;
}

int img_fd(const struct img_reader *r)
{
	return r->fd;
}

/* ------------------------------------------------------- one-record files */

int img_read_opt(const struct img_dir *dir, enum img_kind kind, uint64_t id, struct arena *a,
		 void *ret_msg, struct err *err)
{
	auto_img_reader struct img_reader *r = NULL;
	int got;

	TRY(img_open(dir, kind, id, &r, err));
	got = img_get(r, a, ret_msg, err);
	if (got > 0 && img_left(r))
		return err_input(err, "%s: %" PRIu64 " bytes behind its only record", r->name,
				 img_left(r));
	return got;
}

int img_read_one(const struct img_dir *dir, enum img_kind kind, uint64_t id, struct arena *a,
		 void *ret_msg, struct err *err)
{
	int got = img_read_opt(dir, kind, id, a, ret_msg, err);
	char name[IMG_NAME_MAX];

	if (got < 0)
		return got;
	if (got > 0)
		return 0;
	img_name(kind, id, name);
	err_input(err, "%s: missing, or empty", name);
	return err_hint(err, "the images in %s are not those of a complete dump", dir->path);
}
