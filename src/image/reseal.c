/* SPDX-License-Identifier: Apache-2.0 */
#include "base/auto.h"
#include "image/schema/integrity.pb-c.h"
#include "image/sums.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

static int sum_anew(const struct img_dir *dir, const ImageSum *old, struct img_sums *to,
		    struct err *err)
{
	struct img_sum sum = {.has_crc = old->has_crc32c};
	auto_close int fd = -EBADF;
	struct stat st;
	int r;

	if (strlen(old->name) >= sizeof(sum.name) || strchr(old->name, '/'))
		return err_input(err, "integrity.img: images.name: '%.64s'", old->name);
	memcpy(sum.name, old->name, strlen(old->name));
	fd = openat(dir->fd, sum.name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(err, -errno, "%s", sum.name);
	if (!S_ISREG(st.st_mode))
		return err_input(err, "%s: not a regular file", sum.name);
	sum.size = (uint64_t)st.st_size;
	r = sum.has_crc ? img_sums_of_fd(fd, sum.size, &sum.crc) : 0;
	if (r < 0)
		return err_sys(err, r, "%s: read", sum.name);
	img_sums_note(to, &sum);
	return 0;
}

static int sum_all(const struct img_dir *dir, struct arena *a, struct img_sums *to, struct err *err)
{
	auto_img_reader struct img_reader *r = NULL;
	IntegrityEntry *e;
	int got;

	TRY(img_open(dir, IMG_INTEGRITY, 0, &r, err));
	got = img_get(r, a, &e, err);
	if (got <= 0)
		return got;
	for (size_t i = 0; i < e->n_images; i++)
		TRY(sum_anew(dir, e->images[i], to, err));
	return 1;
}

int img_sums_reseal(const struct img_dir *dir, struct err *err)
{
	struct img_dir plain = *dir;
	struct img_sums *to = img_sums_new();
	struct arena *a = arena_new();
	int got;

	plain.sums = NULL; /* what is there needn't fit */
	got = sum_all(&plain, a, to, err);
	if (got > 0) {
		plain.sums = to;
		got = img_sums_write(&plain, err) < 0 ? err->code : 1;
	}
	img_sums_free(to);
	arena_free(a);
	return got;
}
