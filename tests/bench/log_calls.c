/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a debug line costs its caller.
 *
 *   log_calls off|text|binary FILE N
 *
 * Prints nanoseconds for each of N calls, one after the other, and how long log lines take without
 * what the kernel does for new pages of FILE: the fastest of many short pieces.
 */
#include "base/io.h"
#include "base/log.h"
#include "base/log_binary.h"
#include "base/parse.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PIECE 32 /* calls: less than a page of records */

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* The commonest kind of line: who, and what about it. */
static void call(uint32_t i)
{
	log_debug("pid %d (%s): mapping %" PRIx64 "-%" PRIx64 ": file %u, %s", (int)i, "program",
		  (uint64_t)i << 12, ((uint64_t)i + 16) << 12, i & 15, "/usr/lib/libc.so.6");
}

static bool begin(const char *how, const char *path)
{
	struct err err = ERR_INIT;
	int fd;

	log_init(strcmp(how, "off") == 0 ? LOG_INFO : LOG_DEBUG);
	if (strcmp(how, "binary") == 0) {
		if (log_binary_open(path, &err) < 0) {
			fprintf(stderr, "%s\n", err.text);
			return false;
		}
		log_set_binary(true, LOG_INFO);
		return true;
	}
	fd = open(path, O_CREAT | O_WRONLY | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
	log_set_fd(fd);
	return fd >= 0;
}

int main(int argc, char **argv)
{
	uint64_t start, best = UINT64_MAX;
	uint32_t n;

	if (argc != 4 || parse_u32(argv[3], 10, &n) < 0 || n < PIECE || !begin(argv[1], argv[2]))
		return 1;
	start = now_ns();
	for (uint32_t i = 0; i < n; i += PIECE) {
		uint64_t piece = now_ns();

		for (uint32_t j = 0; j < PIECE; j++)
			call(i + j);
		piece = now_ns() - piece;
		best = piece < best ? piece : best;
	}
	printf("%.1f %.1f\n", (double)(now_ns() - start) / n, (double)best / PIECE);
	log_binary_close();
	return 0;
}
