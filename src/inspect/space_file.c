/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files of this machine, for pages that images leave to them. Paths come from the images: what is
 * opened is a regular file, or not opened at all (a fifo would block, a device might act), and it
 * is only read if it is the one that was mapped, as far as the record tells.
 */
#include "base/auto.h"
#include "image/buildid.h"
#include "image/schema/remap-file-path.pb-c.h"
#include "inspect/space.h"

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

/* Those that are remapped were deleted: another file has their name, or none. */
static int load_ghosts(struct space *s, struct err *err)
{
	auto_img_reader struct img_reader *r = NULL;
	RemapFilePathEntry *e;
	int got;

	TRY(img_open(&s->cp->dir, IMG_REMAP_FPATH, 0, &r, err));
	while ((got = img_get(r, s->a, &e, err)) > 0)
		map_put(&s->ghosts, e->orig_id, 0);
	return got;
}

static bool is_ghost(struct space *s, uint32_t id)
{
	struct err err = ERR_INIT;

	if (!s->ghosts.len) {
		map_put(&s->ghosts, UINT64_MAX, 0); /* that it was read */
		if (load_ghosts(s, &err) < 0)
			return true; /* who knows */
	}
	return map_get(&s->ghosts, id) != MAP_NONE;
}

static bool same_build(const RegFileEntry *reg, int fd)
{
	uint32_t words[BUILD_ID_WORDS];

	return build_id_read(fd, words) == reg->n_build_id &&
	       memcmp(words, reg->build_id, reg->n_build_id * sizeof(*words)) == 0;
}

static struct local_file unusable(const char *why)
{
	return (struct local_file){.fd = -EBADF, .why = why};
}

static struct local_file open_checked(struct space *s, const struct area *a)
{
	const RegFileEntry *reg = a->reg;
	auto_close int path = -EBADF, fd = -EBADF;
	char name[64];
	struct stat st;

	if (reg->name[0] != '/')
		return unusable("not a path on this machine");
	if (is_ghost(s, a->file_id))
		return unusable("it had been deleted when it was dumped");
	path = open(reg->name, O_PATH | O_CLOEXEC);
	if (path < 0 || fstat(path, &st) < 0)
		return unusable("it isn't on this machine");
	if (!S_ISREG(st.st_mode))
		return unusable("not a regular file here");
	if (!reg->has_size)
		return unusable("its size wasn't recorded");
	if ((uint64_t)st.st_size != reg->size)
		return unusable("the file of this machine has another size");
	snprintf(name, sizeof(name), "/proc/self/fd/%d", path);
	fd = open(name, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return unusable("the file of this machine can't be read");
	if (reg->n_build_id && !same_build(reg, fd))
		return unusable("the file of this machine has another build id");
	return (struct local_file){.fd = TAKE_FD(fd)};
}

int space_file(struct space *s, const struct area *a, const char **ret_why)
{
	size_t at = map_get(&s->file_by_id, a->file_id);

	if (at == MAP_NONE) {
		struct local_file f = open_checked(s, a);

		at = s->files.len;
		*vec_push(&s->files) = f;
		map_put(&s->file_by_id, a->file_id, at);
	}
	*ret_why = s->files.data[at].why;
	return s->files.data[at].fd;
}

int space_file_read(struct space *s, const struct area *a, void *buf, uint64_t len, uint64_t off,
		    struct err *err)
{
	const char *why;
	int fd = space_file(s, a, &why);
	uint64_t done = 0;

	if (fd < 0)
		return err_input(err, "%s: %s", a->reg->name, why);
	while (done < len) {
		ssize_t n = pread(fd, (uint8_t *)buf + done, len - done, (off_t)(off + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(err, -errno, "%s: read", a->reg->name);
		if (n == 0)
			break;
		done += (uint64_t)n;
	}
	memset((uint8_t *)buf + done, 0, len - done);
	return 0;
}

void space_files_close(struct space *s)
{
	vec_foreach (f, &s->files)
		fd_close(f->fd);
	vec_done(&s->files);
	map_done(&s->file_by_id);
	map_done(&s->ghosts);
}
