/* SPDX-License-Identifier: Apache-2.0 */
#include "image/checksum.h"

#include "base/auto.h"
#include "base/crc32c.h"
#include "base/io.h"

#include <inttypes.h>

#define BUF_LEN	 (256u * 1024)
#define LITTLE	 4096u /* not worth a search for holes */
#define TOO_FAR	 4096u /* bytes this far apart are read one by one */
#define GATHERED 4096u

bool sum_spec_is_valid(uint32_t part, uint32_t param)
{
	return part == SUM_FULL || ((part == SUM_FIRST || part == SUM_EVERY) && param);
}

void sum_spec_describe(const struct sum_spec *spec, char *buf, unsigned long size)
{
	switch (spec->part) {
	case SUM_FULL:
		snprintf(buf, size, "all of it");
		break;
	case SUM_FIRST:
		snprintf(buf, size, "the first %u bytes", spec->param);
		break;
	case SUM_EVERY:
		snprintf(buf, size, "one byte of each %u", spec->param);
		break;
	}
}

uint64_t sum_reach(const struct sum_spec *spec, uint64_t size)
{
	return spec->part == SUM_FIRST ? MIN(size, (uint64_t)spec->param) : size;
}

static uint64_t steps(uint64_t to, uint32_t step)
{
	return to / step + (to % step != 0);
}

uint64_t sum_count(const struct sum_spec *spec, uint64_t from, uint64_t to)
{
	if (spec->part != SUM_EVERY)
		return to - from;
	return steps(to, spec->param) - steps(from, spec->param);
}

struct summer {
	int fd;
	const struct sum_spec *spec;
	uint8_t *buf; /* BUF_LEN */
	uint32_t crc;
};

static int sum_all(struct summer *s, uint64_t from, uint64_t to)
{
	while (from < to) {
		size_t n = (size_t)MIN(to - from, (uint64_t)BUF_LEN);

		TRY(io_pread_full(s->fd, s->buf, n, from));
		s->crc = crc32c(s->crc, s->buf, n);
		from += n;
	}
	return 0;
}

/* Every Nth byte, picked from what is read as a whole. */
static int sum_near(struct summer *s, uint64_t from, uint64_t to)
{
	uint32_t step = s->spec->param;

	while (from < to) {
		size_t n = (size_t)MIN(to - from, (uint64_t)BUF_LEN), kept = 0;

		TRY(io_pread_full(s->fd, s->buf, n, from));
		for (uint64_t at = steps(from, step) * step; at < from + n; at += step)
			s->buf[kept++] = s->buf[at - from];
		s->crc = crc32c(s->crc, s->buf, kept);
		from += n;
	}
	return 0;
}

static int sum_far(struct summer *s, uint64_t from, uint64_t to)
{
	uint32_t step = s->spec->param;
	uint8_t bytes[GATHERED];
	size_t n = 0;

	for (uint64_t at = steps(from, step) * step; at < to; at += step) {
		TRY(io_pread_full(s->fd, &bytes[n++], 1, at));
		if (n == sizeof(bytes)) {
			s->crc = crc32c(s->crc, bytes, n);
			n = 0;
		}
	}
	s->crc = crc32c(s->crc, bytes, n);
	return 0;
}

static int sum_data(struct summer *s, uint64_t from, uint64_t to)
{
	if (s->spec->part != SUM_EVERY)
		return sum_all(s, from, to);
	return s->spec->param < TOO_FAR ? sum_near(s, from, to) : sum_far(s, from, to);
}

/* Where the next data begin and end. Where holes aren't known of, all is data. */
static void find_data(int fd, uint64_t from, uint64_t to, uint64_t *start, uint64_t *end)
{
	off_t data = lseek(fd, (off_t)from, SEEK_DATA), hole;

	*start = from;
	*end = to;
	if (data < 0 && errno == ENXIO) {
		*start = to; /* nothing but a hole */
		return;
	}
	if (data < 0)
		return;
	*start = MIN((uint64_t)data, to);
	hole = lseek(fd, data, SEEK_HOLE);
	if (hole > data)
		*end = MIN((uint64_t)hole, to);
}

static int sum_extents(struct summer *s, uint64_t from, uint64_t to)
{
	off_t len = lseek(s->fd, 0, SEEK_END);

	if (len < 0)
		return -errno;
	if ((uint64_t)len < to)
		return -EIO; /* beyond the end all would look like a hole */
	while (from < to) {
		uint64_t start, end;

		find_data(s->fd, from, to, &start, &end);
		s->crc = crc32c_zeros(s->crc, sum_count(s->spec, from, start));
		TRY(sum_data(s, start, end));
		from = MAX(start, end);
	}
	return 0;
}

int sum_range(int fd, const struct sum_spec *spec, uint64_t from, uint64_t to, uint32_t *ret)
{
	auto_free uint8_t *buf = malloc((size_t)MIN(to - from, (uint64_t)BUF_LEN) + 1);
	struct summer s = {.fd = fd, .spec = spec, .buf = buf};

	if (!buf)
		return -ENOMEM;
	if (to - from <= LITTLE)
		TRY(sum_data(&s, from, to));
	else
		TRY(sum_extents(&s, from, to));
	*ret = s.crc;
	return 0;
}
