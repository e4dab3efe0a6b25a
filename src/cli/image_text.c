/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/image_text.h"

#include "base/auto.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

struct style image_style(bool colour)
{
	if (!colour)
		return (struct style){"", "", "", "", "", ""};
	return (struct style){
		.bold = "\033[1m",
		.dim = "\033[2m",
		.good = "\033[32m",
		.bad = "\033[31m",
		.accent = "\033[36m",
		.off = "\033[0m",
	};
}

const char *text_bytes(uint64_t bytes, char buf[TEXT_BYTES])
{
	static const char units[] = "KMGTPE";
	double n = (double)bytes / 1024;
	size_t u = 0;

	if (!bytes)
		return "0";
	if (bytes < 1024) {
		snprintf(buf, TEXT_BYTES, "%" PRIu64 "B", bytes);
		return buf;
	}
	while (n >= 1000 && units[u + 1]) {
		n /= 1024;
		u++;
	}
	snprintf(buf, TEXT_BYTES, n < 9.95 && n != (double)(int)n ? "%.1f%c" : "%.0f%c", n,
		 units[u]);
	return buf;
}

const char *text_micros(uint64_t us, char buf[TEXT_BYTES])
{
	if (us < 1000)
		snprintf(buf, TEXT_BYTES, "%" PRIu64 " us", us);
	else if (us < 1000000)
		snprintf(buf, TEXT_BYTES, "%.1f ms", (double)us / 1e3);
	else
		snprintf(buf, TEXT_BYTES, "%.1f s", (double)us / 1e6);
	return buf;
}

const char *text_count(uint64_t n, const char *word, char buf[48])
{
	size_t len = strlen(word);
	const char *plural = n == 1 ? "" : len && word[len - 1] == 's' ? "es" : "s";

	snprintf(buf, 48, "%" PRIu64 " %s%s", n, word, plural);
	return buf;
}

int text_width(void)
{
	struct winsize ws;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &ws) == 0 && ws.ws_col >= 40)
		return ws.ws_col;
	return 100;
}

static bool is_continuation(char c)
{
	return ((unsigned char)c & 0xc0) == 0x80;
}

static int columns_of(const char *s)
{
	int n = 0;

	for (; *s; s++)
		n += !is_continuation(*s);
	return n;
}

int text_print_cut(FILE *out, const char *s, int width)
{
	int all = columns_of(s), keep = all > width ? width - 3 : all, n = 0;

	if (width <= 3)
		keep = MAX(0, MIN(all, width));
	for (; *s; s++) {
		if (!is_continuation(*s) && n++ == keep) {
			n--;
			break;
		}
		putc((unsigned char)*s < ' ' || *s == 0x7f ? '?' : *s, out);
	}
	if (keep == all || width <= 3)
		return n;
	fputs("...", out);
	return n + 3;
}

uint64_t text_get_num(const json_t *obj, const char *key)
{
	json_int_t n = json_integer_value(json_object_get(obj, key));

	return n < 0 ? 0 : (uint64_t)n;
}

const char *text_get(const json_t *obj, const char *key)
{
	const char *s = json_string_value(json_object_get(obj, key));

	return s ? s : "";
}
