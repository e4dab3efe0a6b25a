/* SPDX-License-Identifier: Apache-2.0 */
/* Images in memory, for programs that read or change them: as JSON texts (torpor-image.h). */
#include "base/auto.h"
#include "base/io.h"
#include "image/json/json.h"
#include "image/sums.h"
#include "inspect/context.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

/* Room for a text or an image that somebody wants in memory. */
static int scratch_file(struct err *err)
{
	int fd = memfd_create("torpor-image", MFD_CLOEXEC);

	return fd < 0 ? err_sys(err, -errno, "memory for an image") : fd;
}

static int contents(int fd, char **ret, struct err *err)
{
	auto_free char *text = NULL;
	struct stat st;
	int r;

	if (fstat(fd, &st) < 0)
		return err_sys(err, -errno, "stat");
	text = malloc((size_t)st.st_size + 1);
	if (!text)
		return err_sys(err, -ENOMEM, "memory for an image");
	r = io_pread_full(fd, text, (size_t)st.st_size, 0);
	if (r < 0)
		return err_sys(err, r, "read");
	text[st.st_size] = '\0';
	*ret = TAKE_PTR(text);
	return 0;
}

int torpor_image_load(struct torpor_image *ti, const char *path, unsigned int flags,
		      char **ret_json)
{
	struct err *err = context_begin(ti);
	auto_close int in = open(path, O_RDONLY | O_CLOEXEC), text = -EBADF;
	struct json_job job = {
		.name = path,
		.pretty = flags & TORPOR_IMAGE_PRETTY,
		.sizes_only = flags & TORPOR_IMAGE_SIZES_ONLY,
		.no_raw = flags & TORPOR_IMAGE_NO_RAW,
		.big_as_text = flags & TORPOR_IMAGE_BIG_AS_TEXT,
	};
	int64_t n;

	if (in < 0)
		return err_sys(err, -errno, "%s", path);
	text = scratch_file(err);
	TRY(text);
	job.in_fd = in;
	job.out_fd = text;
	n = json_decode_image(&job, err);
	return n < 0 ? (int)n : contents(text, ret_json, err);
}

/* Beside the final place, and there by a rename: who reads the image meanwhile sees the old one. */
static int encode_beside(const char *path, int text, struct err *err)
{
	auto_free char *temporary = NULL;
	auto_close int out = -EBADF;
	struct json_job job = {.in_fd = text, .name = path};
	int r;

	if (asprintf(&temporary, "%s.XXXXXX", path) < 0)
		return err_sys(err, -ENOMEM, "%s", path);
	out = mkostemp(temporary, O_CLOEXEC);
	if (out < 0)
		return err_sys(err, -errno, "%s", temporary);
	job.out_fd = out;
	r = json_encode_image(&job, err);
	if (r == 0 && (fchmod(out, 0644) < 0 || rename(temporary, path) < 0))
		r = err_sys(err, -errno, "%s", path);
	if (r < 0)
		(void)unlink(temporary); /* the error is told already */
	return r;
}

int torpor_image_store(struct torpor_image *ti, const char *path, const char *json)
{
	struct err *err = context_begin(ti);
	auto_close int text = scratch_file(err);
	int r;

	TRY(text);
	r = io_pwrite_full(text, json, strlen(json), 0);
	if (r < 0)
		return err_sys(err, r, "memory for a text");
	return encode_beside(path, text, err);
}

int torpor_image_reseal(struct torpor_image *ti, const char *dir)
{
	struct err *err = context_begin(ti);
	auto_close int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct img_dir images = {.fd = fd, .work_fd = fd, .path = dir};
	int got;

	if (fd < 0)
		return err_sys(err, -errno, "images directory %s", dir);
	got = img_sums_reseal(&images, err);
	return got < 0 ? got : 0;
}
