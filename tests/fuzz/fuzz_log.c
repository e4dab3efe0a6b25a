/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A binary log of any bytes: as they are, and with the checksums of all that could be records made
 * right, so that what is in them is looked at, too. Every entry becomes text and JSON.
 */
#include "base/auto.h"
#include "base/log_reader.h"
#include "cli/log_json.h"
#include "fuzz.h"

#include <fcntl.h>
#include <string.h>

#define WORD 8u

static void show(struct log_reader *r, const struct log_entry *e)
{
	char line[LOG_LINE_MAX];
	auto_free char *json = log_entry_json(r, e);
	size_t n;

	fuzz_assert(json[0] == '{');
	n = log_entry_line(r, e, line, sizeof(line));
	fuzz_assert(n < sizeof(line) && line[n] == '\0');
	n = log_entry_message(e, line, 16);
	fuzz_assert(n < 16 && line[n] == '\0');
}

static size_t read_entries(struct log_reader *r, bool patient, size_t size)
{
	struct err err = ERR_INIT;
	struct log_entry e;
	size_t n = 0;

	while (log_reader_next(r, patient, &e, &err) > 0) {
		show(r, &e);
		fuzz_assert(++n <= size / sizeof(struct log_record));
	}
	fuzz_assert(!err.code);
	return n;
}

static void read_log(size_t size)
{
	auto_close int fd = openat(fuzz_dir()->fd, "log.bin", O_RDONLY | O_CLOEXEC);
	auto_log_reader struct log_reader *r = NULL;
	struct err err = ERR_INIT;
	size_t n;

	fuzz_assert(fd >= 0);
	if (log_reader_open(fd, "log.bin", &r, &err) < 0) {
		fuzz_assert(err.code && err.text[0]);
		return;
	}
	n = read_entries(r, true, size);
	n += read_entries(r, false, size);
	fuzz_assert(read_entries(r, false, size) == 0);
	fuzz_assert(n <= size / sizeof(struct log_record));
	fuzz_assert(log_reader_losses(r).damaged <= size);
	(void)log_reader_is_complete(r);
	log_reader_near_end(r, size / 2);
	(void)read_entries(r, false, size);
}

static void set_sum(uint8_t *p, size_t len)
{
	struct log_record h;
	uint64_t sum, word;

	memcpy(&h, p, sizeof(h));
	if (h.mark != LOG_MARK_DONE || h.words < sizeof(h) / WORD || h.words > len / WORD)
		return;
	sum = log_sum_begin(h.site, h.words);
	for (size_t i = 1; i < h.words; i++) {
		memcpy(&word, p + i * WORD, sizeof(word));
		sum = log_sum_add(sum, word);
	}
	h.sum = log_sum_end(sum);
	memcpy(p, &h, sizeof(h));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_free uint8_t *copy = NULL;

	if (!size || size > 65536)
		return 0;
	copy = malloc(size);
	fuzz_assert(copy);
	memcpy(copy, data, size);
	fuzz_file("log.bin", copy, size, size);
	read_log(size);
	/* From the end: a sum covers what later ones changed. */
	for (size_t at = size / WORD * WORD; at >= WORD; at -= WORD)
		if (size - (at - WORD) >= sizeof(struct log_record))
			set_sum(copy + at - WORD, size - (at - WORD));
	fuzz_file("log.bin", copy, size, size);
	read_log(size);
	return 0;
}
