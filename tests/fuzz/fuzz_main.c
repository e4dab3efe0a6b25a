/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Drives a fuzzer where there is no libFuzzer: each file of the corpus as it is, then N times with
 * some bytes changed, cut off, or doubled. The same sequence each time.
 *
 *	fuzz_NAME [-n N] FILE|DIRECTORY...
 */
#include "fuzz.h"

#include "base/auto.h"
#include "base/io.h"
#include "base/parse.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define INPUT_MAX (1024 * 1024)

struct driver {
	uint32_t mutations;
	uint32_t seed;
	size_t files, runs;
};

static uint32_t next_random(struct driver *d)
{
	d->seed ^= d->seed << 13;
	d->seed ^= d->seed >> 17;
	d->seed ^= d->seed << 5;
	return d->seed;
}

static void change_bytes(struct driver *d, uint8_t *data, size_t len)
{
	static const uint8_t interesting[] = {0, 1, 0x7f, 0x80, 0xff};

	for (uint32_t n = next_random(d) % 8 + 1; n; n--) {
		uint8_t *p = &data[next_random(d) % len];

		if (next_random(d) % 2)
			*p ^= (uint8_t)(1u << next_random(d) % 8);
		else
			*p = interesting[next_random(d) % ARRAY_SIZE(interesting)];
	}
}

static void mutate_and_run(struct driver *d, const char *data, size_t len)
{
	size_t n = next_random(d) % 4 ? len : next_random(d) % (len + 1);
	bool twice = next_random(d) % 8 == 0;
	/* Exactly as long as the input, for the sanitizer to see a read behind it. */
	auto_free uint8_t *copy = xcalloc(1, twice ? 2 * n : n);

	memcpy(copy, data, n);
	if (twice)
		memcpy(copy + n, data, n);
	n *= twice ? 2 : 1;
	if (n)
		change_bytes(d, copy, n);
	LLVMFuzzerTestOneInput(copy, n);
	d->runs++;
}

static void run_file(struct driver *d, int at, const char *name)
{
	auto_free char *data = NULL;
	size_t len;

	if (io_read_file(at, name, &data, &len) < 0 || len > INPUT_MAX)
		return;
	d->files++;
	d->runs++;
	LLVMFuzzerTestOneInput((const uint8_t *)data, len);
	for (uint32_t i = 0; i < d->mutations; i++)
		mutate_and_run(d, data, len);
}

static void run_path(struct driver *d, int at, const char *name)
{
	auto_closedir DIR *dir = NULL;
	const struct dirent *e;
	int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0) {
		run_file(d, at, name);
		return;
	}
	dir = fdopendir(fd);
	while (dir && (e = readdir(dir)))
		if (e->d_name[0] != '.')
			run_path(d, dirfd(dir), e->d_name);
}

int main(int argc, char **argv)
{
	struct driver d = {.seed = 1};
	int first = 1;

	if (argc > 2 && strcmp(argv[1], "-n") == 0 && parse_u32(argv[2], 10, &d.mutations) == 0)
		first = 3;
	for (int i = first; i < argc; i++)
		run_path(&d, AT_FDCWD, argv[i]);
	printf("%zu files, %zu runs\n", d.files, d.runs);
	return d.files ? 0 : 1;
}
