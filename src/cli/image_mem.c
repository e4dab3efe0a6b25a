/* SPDX-License-Identifier: Apache-2.0 */
/* torpor image mem: the words of its command line. */
#include "cli/image_mem.h"

#include "base/arena.h"
#include "base/auto.h"
#include "base/parse.h"
#include "cli/image_words.h"

#include <fcntl.h>
#include <string.h>

#define DEFAULT_LEN 256

/* ----------------------------------------------------------------- numbers */

/* Decimal, or hexadecimal behind 0x. */
static bool parse_number(const char *s, uint64_t *ret)
{
	const char *hex = str_after(s, "0x");

	return hex ? parse_u64(hex, 16, ret) == 0 : parse_u64(s, 10, ret) == 0;
}

static int hex_digit(char c)
{
	static const char digits[] = "0123456789abcdef";
	const char *at = c ? strchr(digits, c | 0x20) : NULL;

	return at ? (int)(at - digits) : -1;
}

static bool parse_hex(const char *s, struct mem_words *w)
{
	size_t len = strlen(s);

	if (!len || len % 2)
		return false;
	w->pattern = xcalloc(len / 2, 1);
	for (; *s; s += 2) {
		int high = hex_digit(s[0]), low = hex_digit(s[1]);

		if (high < 0 || low < 0)
			return false;
		w->pattern[w->pattern_len++] = (uint8_t)(high << 4 | low);
	}
	return true;
}

/* Little-endian, as in the memory of the machines that there are. */
static bool parse_integer(const char *s, size_t size, struct mem_words *w)
{
	uint64_t value;

	if (!parse_number(s, &value) || (size < sizeof(value) && value >> (size * 8)))
		return false;
	w->pattern_len = size;
	w->pattern = xcalloc(size, 1);
	for (size_t i = 0; i < size; i++)
		w->pattern[i] = (uint8_t)(value >> (i * 8));
	return true;
}

static bool parse_pattern(struct mem_words *w)
{
	const char *s = w->search, *rest;

	if ((rest = str_after(s, "hex:")))
		return parse_hex(rest, w);
	if ((rest = str_after(s, "u32:")))
		return parse_integer(rest, 4, w);
	if ((rest = str_after(s, "u64:")))
		return parse_integer(rest, 8, w);
	rest = str_after(s, "text:");
	w->pattern = (uint8_t *)xstrdup(rest ? rest : s);
	w->pattern_len = strlen((char *)w->pattern);
	return w->pattern_len > 0;
}

/* ------------------------------------------------------------------ options */

static int take_len(const struct image_command *cmd, const char *text, struct mem_words *w)
{
	w->has_len = true;
	w->all = strcmp(text, "all") == 0;
	if (!w->all && (!parse_number(text, &w->range.len) || !w->range.len))
		return image_usage(cmd, "--len: '%s' is neither a number above 0 nor 'all'", text);
	return IMAGE_OK;
}

static int take_addr(const struct image_command *cmd, const char *text, struct mem_words *w)
{
	w->has_addr = true;
	if (!parse_number(text, &w->range.addr))
		return image_usage(cmd, "--addr: '%s' isn't an address", text);
	return IMAGE_OK;
}

/* No word is ignored: those that don't go together are refused. */
static int check_words(const struct image_command *cmd, struct mem_words *w)
{
	bool searches = w->search || w->strings;
	bool shows = w->has_addr && !searches;

	if (w->search && w->strings)
		return image_usage(cmd, "--search and --strings don't go together");
	if (w->min && !w->strings)
		return image_usage(cmd, "--min goes with --strings");
	if (w->has_len && !w->has_addr)
		return image_usage(cmd, "--len goes with --addr");
	if ((w->raw || w->output) && !shows)
		return image_usage(cmd, "--raw and -o go with --addr, but not with a search");
	if (w->json && (searches || shows))
		return image_usage(cmd, "--json goes with the list of mappings");
	if (w->has_addr && !w->range.pid)
		return image_usage(cmd, "--addr goes with --pid");
	if ((w->range.flags & TORPOR_MEMORY_NO_FILES) && !searches && !shows)
		return image_usage(cmd, "--no-files goes with --addr or a search");
	if (!searches && !w->range.pid)
		return image_usage(cmd, "--pid PID is needed");
	if (w->search && !parse_pattern(w))
		return image_usage(cmd, "--search: '%s' isn't a pattern", w->search);
	return IMAGE_OK;
}

static int parse_words(const struct image_command *cmd, int argc, char **argv, struct mem_words *w)
{
	const char *addr = NULL, *len = NULL;
	const struct image_option options[] = {
		{"pid", 'p', IMAGE_NUMBER, &w->range.pid, 0},
		{"addr", 0, IMAGE_TEXT, &addr, 0},
		{"len", 0, IMAGE_TEXT, &len, 0},
		{"min", 0, IMAGE_NUMBER, &w->min, 0},
		{"output", 'o', IMAGE_TEXT, &w->output, 0},
		{"search", 0, IMAGE_TEXT, &w->search, 0},
		{"strings", 0, IMAGE_FLAG, &w->strings, 0},
		{"raw", 0, IMAGE_FLAG, &w->raw, 0},
		{"json", 0, IMAGE_FLAG, &w->json, 0},
		{"no-files", 0, IMAGE_BITS, &w->range.flags, TORPOR_MEMORY_NO_FILES},
		{0},
	};
	int r = image_words(cmd, argc, argv, options, &w->dir, 1, 1);

	if (r == IMAGE_OK && addr)
		r = take_addr(cmd, addr, w);
	if (r == IMAGE_OK && len)
		r = take_len(cmd, len, w);
	return r == IMAGE_OK ? check_words(cmd, w) : r;
}

/* ------------------------------------------------------------------ running */

/* The selection's length, where it isn't a number. It ends with the mapping. */
static int set_len(const struct image_command *cmd, struct torpor_image *ti,
		   struct torpor_checkpoint *cp, struct mem_words *w)
{
	uint64_t start, end;

	if (!w->has_addr || (w->has_len && !w->all))
		return IMAGE_OK;
	if (torpor_checkpoint_mapping_at(cp, w->range.pid, w->range.addr, &start, &end) < 0)
		return image_failed(cmd, ti);
	w->range.len = end - w->range.addr;
	/* A search without --len goes up to the end of memory. */
	if (!w->all && (w->search || w->strings))
		w->range.len = 0;
	else if (!w->all)
		w->range.len = MIN(w->range.len, (uint64_t)DEFAULT_LEN);
	return IMAGE_OK;
}

/* Memory may hold secrets: a new file is its owner's only. */
static int show_to_file(const struct image_command *cmd, struct torpor_image *ti,
			struct torpor_checkpoint *cp, const struct mem_words *w)
{
	int fd = open(w->output, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	FILE *out = fd < 0 ? NULL : fdopen(fd, "w");
	int r;

	if (!out) {
		fprintf(stderr, "torpor image %s: error: create %s: %s\n", cmd->name, w->output,
			strerror(errno));
		fd_close(fd);
		return IMAGE_FAILED;
	}
	r = mem_show(cmd, ti, cp, w, out);
	if (fclose(out) != 0 && r == IMAGE_OK) {
		fprintf(stderr, "torpor image %s: error: write %s: %s\n", cmd->name, w->output,
			strerror(errno));
		return IMAGE_FAILED;
	}
	return r;
}

static int run(const struct image_command *cmd, struct torpor_image *ti,
	       struct torpor_checkpoint *cp, struct mem_words *w)
{
	int r = set_len(cmd, ti, cp, w);

	if (r != IMAGE_OK)
		return r;
	if (w->search || w->strings)
		return mem_search(cmd, ti, cp, w);
	if (!w->has_addr)
		return mem_list(cmd, ti, cp, w);
	return w->output ? show_to_file(cmd, ti, cp, w) : mem_show(cmd, ti, cp, w, stdout);
}

int image_mem(const struct image_command *cmd, int argc, char **argv)
{
	struct torpor_checkpoint *cp = NULL;
	struct mem_words w = {0};
	int r = parse_words(cmd, argc, argv, &w);

	if (r == IMAGE_OK) {
		struct torpor_image *ti = image_context();

		if (torpor_checkpoint_open(ti, w.dir, &cp) < 0)
			r = image_failed(cmd, ti);
		else
			r = run(cmd, ti, cp, &w);
		torpor_checkpoint_close(cp);
		torpor_image_free(ti);
	}
	free(w.pattern);
	return r;
}
