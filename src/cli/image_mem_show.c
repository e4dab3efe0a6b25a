/* SPDX-License-Identifier: Apache-2.0 */
/* torpor image mem: mappings as a table, bytes as hexdump -C prints them, what was found. */
#include "base/auto.h"
#include "cli/image_mem.h"

#include <inttypes.h>
#include <jansson.h>
#include <string.h>

#define CHUNK_LEN 65536
#define LINE_LEN  16

/* -------------------------------------------------------------------- list */

static const char *text_of(const json_t *m, const char *key)
{
	return json_string_value(json_object_get(m, key));
}

static json_int_t pages_of(const json_t *m, const char *where)
{
	return json_integer_value(json_object_get(json_object_get(m, "pages"), where));
}

/* Names come from the images: nothing in them is for the terminal. */
static void print_name(const char *name)
{
	for (; *name; name++)
		putchar((unsigned char)*name < ' ' || *name == 0x7f ? '?' : *name);
}

static void print_mapping(const json_t *m)
{
	const char *file = text_of(m, "file");

	printf("%18s %18s  %s %8lld %8lld %8lld  %s", text_of(m, "start"), text_of(m, "end"),
	       text_of(m, "prot"), pages_of(m, "here"), pages_of(m, "parents"), pages_of(m, "cow"),
	       text_of(m, "kind"));
	if (file) {
		putchar(' ');
		print_name(file);
		printf("+0x%llx", json_integer_value(json_object_get(m, "offset")));
	}
	putchar('\n');
}

int mem_list(const struct image_command *cmd, struct torpor_image *ti, struct torpor_checkpoint *cp,
	     const struct mem_words *w)
{
	auto_free char *text = NULL;
	const json_t *m;
	json_t *all;
	size_t i;

	if (torpor_checkpoint_mappings(cp, w->range.pid, &text) < 0)
		return image_failed(cmd, ti);
	if (w->json) {
		puts(text);
		return IMAGE_OK;
	}
	all = json_loads(text, 0, NULL);
	printf("%18s %18s  %s %8s %8s %8s  %s\n", "start", "end", "prot", "pages", "parents", "cow",
	       "what");
	json_array_foreach(json_object_get(all, "mappings"), i, m) print_mapping(m);
	json_decref(all);
	return IMAGE_OK;
}

/* ------------------------------------------------------------------- bytes */

struct hexdump {
	FILE *out;
	uint64_t end;		/* of what was printed */
	uint8_t last[LINE_LEN]; /* a line like it is left out */
	bool any, left_out;
};

static void print_line(struct hexdump *h, uint64_t addr, const uint8_t *data, size_t len)
{
	fprintf(h->out, "%012" PRIx64 " ", addr);
	for (size_t i = 0; i < LINE_LEN; i++) {
		if (i % 8 == 0)
			fputc(' ', h->out);
		if (i < len)
			fprintf(h->out, "%02x ", data[i]);
		else
			fputs("   ", h->out);
	}
	fputs(" |", h->out);
	for (size_t i = 0; i < len; i++)
		fputc(data[i] >= ' ' && data[i] < 0x7f ? data[i] : '.', h->out);
	fputs("|\n", h->out);
}

static void hexdump(struct hexdump *h, uint64_t addr, const uint8_t *data, size_t len)
{
	for (size_t at = 0; at < len; at += LINE_LEN) {
		size_t n = MIN(len - at, (size_t)LINE_LEN);

		h->end = addr + at + n;
		if (h->any && n == LINE_LEN && memcmp(h->last, data + at, n) == 0) {
			if (!h->left_out)
				fputs("*\n", h->out);
			h->left_out = true;
			continue;
		}
		print_line(h, addr + at, data + at, n);
		memcpy(h->last, data + at, n);
		h->any = n == LINE_LEN;
		h->left_out = false;
	}
}

/* What can be had is shown, then why the rest can't. */
int mem_show(const struct image_command *cmd, struct torpor_image *ti, struct torpor_checkpoint *cp,
	     const struct mem_words *w, FILE *out)
{
	const struct torpor_memory_range *r = &w->range;
	struct hexdump h = {.out = out};
	uint8_t buf[CHUNK_LEN];
	int64_t n = 0;

	for (uint64_t done = 0; done < r->len && !ferror(out); done += (uint64_t)n) {
		n = torpor_checkpoint_read_memory(cp, r->pid, r->addr + done, buf,
						  MIN(r->len - done, sizeof(buf)), r->flags);
		if (n < 0)
			break;
		if (w->raw || w->output)
			fwrite(buf, 1, (size_t)n, out);
		else
			hexdump(&h, r->addr + done, buf, (size_t)n);
	}
	if (h.end)
		fprintf(out, "%012" PRIx64 "\n", h.end);
	if (n < 0)
		return image_failed(cmd, ti);
	if (fflush(out) == 0 && !ferror(out))
		return IMAGE_OK;
	fprintf(stderr, "torpor image %s: error: write: %s\n", cmd->name, strerror(errno));
	return IMAGE_FAILED;
}

/* ------------------------------------------------------------------ search */

struct finder {
	bool any, text;
};

static int print_found(void *arg, uint32_t pid, uint64_t addr, const void *bytes, size_t len)
{
	struct finder *f = arg;

	f->any = true;
	image_progress_hide();
	printf("%u %#" PRIx64, pid, addr);
	if (f->text)
		printf(" %.*s", (int)len, (const char *)bytes);
	putchar('\n');
	return ferror(stdout);
}

/* As grep does it: 1 if there is nothing. */
int mem_search(const struct image_command *cmd, struct torpor_image *ti,
	       struct torpor_checkpoint *cp, const struct mem_words *w)
{
	struct finder f = {.text = w->strings};
	int r;

	if (w->strings)
		r = torpor_checkpoint_memory_strings(cp, &w->range, w->min ? w->min : 4,
						     print_found, &f);
	else
		r = torpor_checkpoint_search_memory(cp, &w->range, w->pattern, w->pattern_len,
						    print_found, &f);
	if (r < 0)
		return image_failed(cmd, ti);
	image_progress_hide();
	if (r > 0)
		fprintf(stderr,
			"torpor image %s: note: pages of mapped files that are not at hand "
			"were left out\n",
			cmd->name);
	return f.any ? IMAGE_OK : IMAGE_FAILED;
}
