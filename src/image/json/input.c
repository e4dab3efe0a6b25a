/* SPDX-License-Identifier: Apache-2.0 */
#include "image/json/input.h"

#include "base/arena.h"
#include "base/auto.h"

#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#define STEP (1024 * 1024)

void input_init(struct input *in, int fd, const char *name)
{
	struct stat st;

	memset(in, 0, offsetof(struct input, buf));
	in->fd = fd;
	in->name = name;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
		in->size = (uint64_t)st.st_size;
}

static int fill(struct input *in, struct err *err)
{
	ssize_t n;

	do
		n = read(in->fd, in->buf, sizeof(in->buf));
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return err_sys(err, -errno, "%s: read", in->name);
	in->pos = 0;
	in->len = (size_t)n;
	if (in->progress)
		in->progress(in->progress_arg, in->name, in->off + in->len, in->size);
	return 0;
}

int64_t input_peek(struct input *in, const uint8_t **ret, struct err *err)
{
	if (in->pos == in->len)
		TRY(fill(in, err));
	*ret = in->buf + in->pos;
	return (int64_t)(in->len - in->pos);
}

void input_skip(struct input *in, size_t n)
{
	in->pos += n;
	in->off += n;
}

static int cut_off(const struct input *in, uint64_t at, size_t len, struct err *err)
{
	err_input(err, "%s: truncated: %zu bytes at %" PRIu64 ", but the file ends at %" PRIu64,
		  in->name, len, at, in->off);
	return err_hint(err, "copy the images again, whole, or take another dump");
}

int input_take(struct input *in, void *buf, size_t len, struct err *err)
{
	uint64_t begin = in->off;
	uint8_t *to = buf;

	for (size_t done = 0; done < len;) {
		const uint8_t *p;
		int64_t have = input_peek(in, &p, err);
		size_t n;

		if (have < 0)
			return (int)have;
		if (have == 0)
			return done ? cut_off(in, begin, len, err) : 0;
		n = MIN((size_t)have, len - done);
		memcpy(to + done, p, n);
		input_skip(in, n);
		done += n;
	}
	return 1;
}

int input_take_new(struct input *in, size_t len, uint8_t **ret, struct err *err)
{
	uint64_t begin = in->off;
	auto_free uint8_t *data = NULL;

	/* A length that is a lie must not cost what it claims. */
	for (size_t done = 0; done < len || !data;) {
		size_t n = MIN(len - done, (size_t)STEP);
		int got;

		data = xrealloc(data, done + n + 1, 1);
		got = n ? input_take(in, data + done, n, err) : 1;
		if (got < 0)
			return got;
		if (got == 0)
			return cut_off(in, begin, len, err);
		done += n;
	}
	*ret = TAKE_PTR(data);
	return 1;
}
