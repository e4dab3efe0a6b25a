/* SPDX-License-Identifier: Apache-2.0 */
#include "samples.h"

#include "base/auto.h"
#include "base/io.h"
#include "base/parse.h"
#include "base/vec.h"

#include <assert.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

const char *const sample_sets[] = {"shell", "multi", "zoo", "ns", "http", "tcp", NULL};

static int open_dir(int at, const char *path)
{
	int fd = openat(at, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert(fd >= 0);
	return fd;
}

void sample_empty_dir(struct img_dir *dir)
{
	/* In memory where there is such a place: some tests write tens of thousands of times. */
	const char *tmp = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
	char path[64];

	snprintf(path, sizeof(path), "%s/image-test-XXXXXX", tmp);
	assert(mkdtemp(path));
	*dir = (struct img_dir){.fd = open_dir(AT_FDCWD, path), .path = xstrdup(path)};
	dir->work_fd = dir->fd;
}

uint8_t *sample_read(int dirfd, const char *name, size_t *ret_len)
{
	auto_close int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC);
	struct stat st;
	uint8_t *data;

	assert(fd >= 0 && fstat(fd, &st) == 0);
	*ret_len = (size_t)st.st_size;
	data = xcalloc(1, *ret_len);
	assert(io_pread_full(fd, data, *ret_len, 0) == 0);
	return data;
}

void sample_write(int dirfd, const char *name, const void *data, size_t len)
{
	auto_close int fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert(fd >= 0 && io_write_full(fd, data, len) == 0);
}

/* Lines of "pages-1.img 4096". */
static void make_pages(int from, int to)
{
	auto_free char *text = NULL;
	const char *p;
	char name[IMG_NAME_MAX];
	uint64_t size;

	if (io_read_file(from, "pages.txt", &text, NULL) < 0)
		return;
	for (p = text; scan_word(&p, name, sizeof(name)) && scan_u64(&p, 10, &size);
	     scan_char(&p, '\n')) {
		auto_close int fd = openat(to, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

		assert(fd >= 0 && ftruncate(fd, (off_t)size) == 0);
	}
}

void sample_copy(const char *set, struct img_dir *dir)
{
	auto_close int sets = open_dir(AT_FDCWD, SOURCE_DIR "/tests/interop/samples");
	struct img_dir from = {.fd = open_dir(sets, set)};
	char **names;
	size_t n = sample_names(&from, &names);

	sample_empty_dir(dir);
	for (size_t i = 0; i < n; i++) {
		size_t len;
		auto_free uint8_t *data = sample_read(from.fd, names[i], &len);

		if (strcmp(names[i], "pages.txt") != 0)
			sample_write(dir->fd, names[i], data, len);
	}
	make_pages(from.fd, dir->fd);
	sample_names_free(names, n);
	close(from.fd);
}

void sample_remove(struct img_dir *dir)
{
	char **names;
	size_t n = sample_names(dir, &names);

	for (size_t i = 0; i < n; i++)
		unlinkat(dir->fd, names[i], 0);
	sample_names_free(names, n);
	close(dir->fd);
	rmdir(dir->path);
	free((char *)dir->path);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

size_t sample_names(const struct img_dir *dir, char ***ret)
{
	auto_closedir DIR *d = fdopendir(open_dir(dir->fd, "."));
	VEC(char *) names = {0};
	const struct dirent *e;

	assert(d);
	while ((e = readdir(d)))
		if (e->d_name[0] != '.')
			*vec_push(&names) = xstrdup(e->d_name);
	if (names.len)
		qsort(names.data, names.len, sizeof(*names.data), by_name);
	*ret = names.data;
	return names.len;
}

void sample_names_free(char **names, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(names[i]);
	free(names);
}
