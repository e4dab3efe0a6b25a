/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing image files: a header of two magic words, then records of u32 size + message, some of
 * them followed by bytes. The file appears with its first record and is written at offsets of our
 * own, so that copy_file_range() and buffered records mix.
 *
 * A file is created exclusively, after unlinking what is in the way: be it an older dump's or a
 * link that somebody has planted, it is never written through.
 */
#include "image/image.h"

#include "base/auto.h"
#include "base/crc32c.h"
#include "base/io.h"
#include "image/kinds.h"
#include "image/sums.h"

#include <fcntl.h>
#include <string.h>

#define BUF_SIZE (16 * 1024)
/* More than that is copied by the kernel, where it may share blocks. */
#define COPY_MIN (256 * 1024)
/* So many bytes at a time, which the sum is made of next. */
#define COPY_PIECE (2 * 1024 * 1024)

struct img_writer {
	const struct img_row *row;
	int dirfd;
	int fd; /* -EBADF until the first record */
	char name[IMG_NAME_MAX];
	uint64_t off; /* of buf in the file */
	struct img_sums *sums;
	uint32_t crc;
	size_t len; /* bytes in buf */
	uint8_t buf[BUF_SIZE];
};

int img_create(const struct img_dir *dir, enum img_kind kind, uint64_t id, struct img_writer **ret,
	       struct err *err)
{
	struct img_writer *w = xcalloc(1, sizeof(*w));

	w->row = img_row(kind);
	w->dirfd = img_dirfd(dir, kind);
	w->fd = -EBADF;
	img_name(kind, id, w->name);
	if (w->row->family != IMG_FAMILY_SERVICE)
		w->sums = dir->sums;
	*ret = w;
	return 0;
}

static int write_through(struct img_writer *w, const void *data, size_t len, struct err *err)
{
	int r = io_pwrite_full(w->fd, data, len, w->off);

	if (r < 0)
		return err_sys(err, r, "%s: write", w->name);
	w->off += len;
	if (w->sums)
		w->crc = crc32c(w->crc, data, len);
	return 0;
}

static int flush(struct img_writer *w, struct err *err)
{
	TRY(write_through(w, w->buf, w->len, err));
	w->len = 0;
	return 0;
}

static int put_bytes(struct img_writer *w, const void *data, size_t len, struct err *err)
{
	if (!len)
		return 0;
	if (len > sizeof(w->buf) - w->len)
		TRY(flush(w, err));
	if (len > sizeof(w->buf))
		return write_through(w, data, len, err);
	memcpy(w->buf + w->len, data, len);
	w->len += len;
	return 0;
}

static int put_u32(struct img_writer *w, uint32_t value, struct err *err)
{
	return put_bytes(w, &value, sizeof(value), err);
}

static int remove_old(int dirfd, const char *name, struct err *err)
{
	if (unlinkat(dirfd, name, 0) < 0 && errno != ENOENT)
		return err_sys(err, -errno, "%s: remove the old one", name);
	return 0;
}

/* Mostly there is no old one: looking for it first would cost a call for each of many files. */
int img_create_file(int dirfd, const char *name, struct err *err)
{
	const int flags = O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC;
	int fd = openat(dirfd, name, flags, 0644);

	if (fd < 0 && errno == EEXIST) {
		TRY(remove_old(dirfd, name, err));
		fd = openat(dirfd, name, flags, 0644);
	}
	return fd < 0 ? err_sys(err, -errno, "%s: create", name) : fd;
}

/* At the first record. */
static int create_file(struct img_writer *w, struct err *err)
{
	if (w->fd >= 0)
		return 0;
	w->fd = img_create_file(w->dirfd, w->name, err);
	TRY(w->fd);
	if (w->row->family == IMG_FAMILY_COMMON)
		TRY(put_u32(w, IMG_MAGIC_COMMON, err));
	else if (w->row->family == IMG_FAMILY_SERVICE)
		TRY(put_u32(w, IMG_MAGIC_SERVICE, err));
	return put_u32(w, w->row->magic, err);
}

int img_put(struct img_writer *w, const ProtobufCMessage *msg, struct err *err)
{
	size_t len = protobuf_c_message_get_packed_size(msg);
	auto_free uint8_t *big = NULL;

	if (len > IMG_RECORD_MAX)
		return err_bug(err, "%s: a record of %zu bytes", w->name, len);
	TRY(create_file(w, err));
	TRY(put_u32(w, (uint32_t)len, err));
	if (len > sizeof(w->buf) - w->len)
		TRY(flush(w, err));
	if (len <= sizeof(w->buf)) {
		w->len += protobuf_c_message_pack(msg, w->buf + w->len);
		return 0;
	}
	big = xcalloc(1, len);
	protobuf_c_message_pack(msg, big);
	return put_bytes(w, big, len, err);
}

int img_put_raw(struct img_writer *w, const void *data, size_t len, struct err *err)
{
	if (w->fd < 0)
		return err_bug(err, "%s: bytes before the first record", w->name);
	return put_bytes(w, data, len, err);
}

/* Through our buffer: from a pipe, which has no offsets, or little. */
static int copy_through(struct img_writer *w, int fd, int64_t off, uint64_t len, struct err *err)
{
	while (len) {
		size_t n = (size_t)MIN(len, (uint64_t)sizeof(w->buf));
		int r = off < 0 ? io_read_full(fd, w->buf, n)
				: io_pread_full(fd, w->buf, n, (uint64_t)off);

		if (r < 0)
			return err_sys(err, r, "%s: read the bytes of a record", w->name);
		w->len = n;
		TRY(flush(w, err));
		len -= n;
		off += off < 0 ? 0 : (int64_t)n;
	}
	return 0;
}

/* The next len bytes, which are there already: still in the page cache, mostly. */
static int sum_copied(struct img_writer *w, uint64_t len, struct err *err)
{
	for (uint64_t done = 0; done < len;) {
		size_t n = (size_t)MIN(len - done, (uint64_t)sizeof(w->buf));
		int r = io_pread_full(w->fd, w->buf, n, w->off + done);

		if (r < 0)
			return err_sys(err, r, "%s: read back the bytes of a record", w->name);
		w->crc = crc32c(w->crc, w->buf, n);
		done += n;
	}
	return 0;
}

int img_put_from(struct img_writer *w, int fd, int64_t off, uint64_t len, struct err *err)
{
	uint64_t n;
	int r;

	if (w->fd < 0)
		return err_bug(err, "%s: bytes before the first record", w->name);
	TRY(flush(w, err));
	if (off < 0 || len <= COPY_MIN)
		return copy_through(w, fd, off, len, err);
	for (; len; len -= n, off += (int64_t)n) {
		n = MIN(len, (uint64_t)COPY_PIECE);
		r = io_copy_range(fd, (uint64_t)off, w->fd, w->off, n);
		if (r < 0)
			return err_sys(err, r, "%s: copy the bytes of a record", w->name);
		if (w->sums)
			TRY(sum_copied(w, n, err));
		w->off += n;
	}
	return 0;
}

uint32_t img_writer_crc(const struct img_writer *w)
{
	return w->sums ? crc32c(w->crc, w->buf, w->len) : 0;
}

static void note_sum(const struct img_writer *w)
{
	struct img_sum sum = {.size = w->off, .has_crc = true, .crc = w->crc};

	if (!w->sums)
		return;
	memcpy(sum.name, w->name, sizeof(sum.name));
	img_sums_note(w->sums, &sum);
}

int img_close(struct img_writer *w, struct err *err)
{
	int r = w->fd >= 0 ? flush(w, err) : remove_old(w->dirfd, w->name, err);

	/* Only a network file system tells here that it has lost what was written. */
	if (w->fd >= 0 && close(w->fd) < 0 && r == 0)
		r = err_sys(err, -errno, "%s: close", w->name);
	if (w->fd >= 0 && r == 0)
		note_sum(w);
	free(w);
	return r;
}

void img_abort(struct img_writer *w)
{
	if (!w)
		return;
	fd_close(w->fd);
	free(w);
}

int img_write_one(const struct img_dir *dir, enum img_kind kind, uint64_t id,
		  const ProtobufCMessage *msg, struct err *err)
{
	auto_img_writer struct img_writer *w = NULL;

	TRY(img_create(dir, kind, id, &w, err));
	TRY(img_put(w, msg, err));
	return img_close(TAKE_PTR(w), err);
}
