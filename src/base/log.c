/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static struct {
	int level;
	int fd;
	struct timespec start;
} sink = {.level = LOG_WARN, .fd = STDERR_FILENO};

void log_init(int level)
{
	if (!sink.start.tv_sec)
		clock_gettime(CLOCK_MONOTONIC, &sink.start);
	sink.level = level;
}

void log_set_fd(int fd)
{
	sink.fd = fd < 0 ? STDERR_FILENO : fd;
}

int log_fd(void)
{
	return sink.fd;
}

int log_level(void)
{
	return sink.level;
}

static size_t put_stamp(char *buf, size_t size)
{
	struct timespec now;
	long us;

	clock_gettime(CLOCK_MONOTONIC, &now);
	us = (now.tv_sec - sink.start.tv_sec) * 1000000L +
	     (now.tv_nsec - sink.start.tv_nsec) / 1000;
	return (size_t)snprintf(buf, size, "(%02ld.%06ld) ", us / 1000000, us % 1000000);
}

static const char *file_name(const char *path)
{
	const char *src = strstr(path, "src/");

	return src ? src + 4 : path;
}

void log_write(enum log_level level, const char *file, int line, const char *fmt, ...)
{
	int saved = errno;
	char buf[4096];
	size_t n = 0;
	va_list ap;

	if (sink.level >= LOG_INFO)
		n += put_stamp(buf, sizeof(buf));
	if (level == LOG_ERROR || level == LOG_WARN)
		n += (size_t)snprintf(buf + n, sizeof(buf) - n,
				      "%s (%s:%d): ", level == LOG_ERROR ? "Error" : "Warn ",
				      file_name(file), line);
	va_start(ap, fmt);
	n += (size_t)vsnprintf(buf + n, sizeof(buf) - n, fmt, ap);
	va_end(ap);
	if (n > sizeof(buf) - 2)
		n = sizeof(buf) - 2;
	buf[n++] = '\n';
	/* A full disk must not stop a dump: a lost log line is lost. */
	if (write(sink.fd, buf, n) < 0)
		errno = 0;
	errno = saved;
}
