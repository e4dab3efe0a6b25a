/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include "base/log_binary.h"
#include "base/log_format.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

int log_threshold = LOG_WARN;

static struct {
	int fd;
	int text_level;
	bool binary, paused;
	uint64_t start_ns;
} sink = {.fd = STDERR_FILENO, .text_level = LOG_DEBUG};

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

void log_init(int level)
{
	if (!sink.start_ns)
		sink.start_ns = now_ns();
	log_threshold = level;
}

void log_set_fd(int fd)
{
	sink.fd = fd < 0 ? STDERR_FILENO : fd;
}

int log_fd(void)
{
	return sink.fd;
}

void log_set_binary(bool on, enum log_level text_level)
{
	sink.binary = on;
	sink.text_level = on ? text_level : LOG_DEBUG;
}

void log_pause_binary(bool pause)
{
	sink.paused = pause;
}

uint64_t log_start_ns(void)
{
	return sink.start_ns;
}

static void write_text(const struct log_site *site, uint64_t ns, const char *fmt, va_list ap)
{
	char buf[LOG_LINE_MAX];
	size_t n = log_line_head(buf, sizeof(buf), site->level, site->file, site->line, ns,
				 log_threshold >= LOG_INFO);

	n += (size_t)vsnprintf(buf + n, sizeof(buf) - n, fmt, ap);
	if (n > sizeof(buf) - 2)
		n = sizeof(buf) - 2;
	buf[n++] = '\n';
	/* A full disk must not stop a dump: a lost log line is lost. */
	if (write(sink.fd, buf, n) < 0)
		errno = 0;
}

void log_write(const struct log_site *site, const char *fmt, ...)
{
	int saved = errno;
	uint64_t ns = now_ns() - sink.start_ns;
	va_list ap;

	if (sink.binary && !sink.paused) {
		va_start(ap, fmt);
		log_binary_write(site, ns, fmt, ap);
		va_end(ap);
	}
	if (site->level <= sink.text_level) {
		va_start(ap, fmt);
		errno = saved;
		write_text(site, ns, fmt, ap);
		va_end(ap);
	}
	errno = saved;
}
