/* SPDX-License-Identifier: Apache-2.0 */
/* Image files as JSON for users of the library: a front of image/json/. */
#include "base/arena.h"
#include "base/auto.h"
#include "image/json/json.h"
#include "inspect/context.h"

#include <fcntl.h>

static struct json_job job_of(struct torpor_image *ti, int in_fd, const char *name, int out_fd,
			      unsigned int flags)
{
	return (struct json_job){
		.in_fd = in_fd,
		.out_fd = out_fd,
		.name = name,
		.pretty = flags & TORPOR_IMAGE_PRETTY,
		.sizes_only = flags & TORPOR_IMAGE_SIZES_ONLY,
		.newline = flags & TORPOR_IMAGE_NEWLINE,
		.no_raw = flags & TORPOR_IMAGE_NO_RAW,
		.big_as_text = flags & TORPOR_IMAGE_BIG_AS_TEXT,
		.progress = ti->progress,
		.progress_arg = ti->progress_arg,
	};
}

int torpor_image_decode(struct torpor_image *ti, int in_fd, const char *name, int out_fd,
			unsigned int flags)
{
	struct json_job job = job_of(ti, in_fd, name, out_fd, flags);
	int64_t count = json_decode_image(&job, context_begin(ti));

	return count < 0 ? (int)count : 0;
}

int torpor_image_encode(struct torpor_image *ti, int in_fd, const char *name, int out_fd)
{
	struct json_job job = job_of(ti, in_fd, name, out_fd, 0);

	return json_encode_image(&job, context_begin(ti));
}

int torpor_image_info(struct torpor_image *ti, int in_fd, const char *name, unsigned int flags,
		      char **ret_kind, uint64_t *ret_count)
{
	auto_close int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	struct json_job job = job_of(ti, in_fd, name, null, flags | TORPOR_IMAGE_SIZES_ONLY);
	struct err *err = context_begin(ti);
	char *kind;
	int64_t count;

	if (null < 0)
		return err_sys(err, -errno, "open /dev/null");
	count = json_count_image(&job, &kind, err);
	if (count < 0)
		return (int)count;
	*ret_kind = kind;
	*ret_count = (uint64_t)count;
	return 0;
}
