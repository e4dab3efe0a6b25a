/* SPDX-License-Identifier: Apache-2.0 */
#include "image/json/output.h"

#include "base/auto.h"
#include "base/crc32c.h"
#include "base/io.h"

#include <string.h>

void output_init(struct output *o, int fd, const char *name)
{
	o->fd = fd;
	o->name = name;
	o->off = 0;
	o->crc = 0;
	o->len = 0;
}

int output_flush(struct output *o, struct err *err)
{
	int r = io_write_full(o->fd, o->buf, o->len);

	o->len = 0;
	return r < 0 ? err_sys(err, r, "%s: write", o->name) : 0;
}

int output_put(struct output *o, const void *data, size_t len, struct err *err)
{
	const uint8_t *p = data;

	o->crc = crc32c(o->crc, data, len);
	o->off += len;
	while (len) {
		size_t n = MIN(len, sizeof(o->buf) - o->len);

		memcpy(o->buf + o->len, p, n);
		o->len += n;
		p += n;
		len -= n;
		if (o->len == sizeof(o->buf))
			TRY(output_flush(o, err));
	}
	return 0;
}

int output_u32(struct output *o, uint32_t value, struct err *err)
{
	return output_put(o, &value, sizeof(value), err);
}

int output_file(struct output *o, int fd, uint64_t len, struct err *err)
{
	uint8_t piece[16 * 1024];

	for (uint64_t off = 0; off < len;) {
		size_t n = (size_t)MIN(len - off, (uint64_t)sizeof(piece));
		int r = io_pread_full(fd, piece, n, off);

		if (r < 0)
			return err_sys(err, r, "a temporary file: read");
		TRY(output_put(o, piece, n, err));
		off += n;
	}
	return 0;
}
