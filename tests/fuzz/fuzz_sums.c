/* SPDX-License-Identifier: Apache-2.0 */
/*
 * integrity.img with whatever list: the bytes are its record, in a file that is otherwise sound,
 * beside an inventory, a pstree, and sums of pages. Whatever is listed, what isn't as it is listed
 * must not be accepted.
 */
#include "base/auto.h"
#include "base/crc32c.h"
#include "fuzz.h"
#include "image/page_sums.h"

#include <string.h>

#define NPAGES 3

static const char inventory[] = "\x16\x31\x31\x58\x02\x00\x00\x00\x08\x02";
static const char pstree[] = "\x19\x43\x56\x54\x30\x30\x27\x50";
static const char sums[NPAGES * 4 + 1] = "abcdefghijkl";

/* Magic words, the length, the record, the sum of all of it. */
static void write_list(const uint8_t *data, size_t size)
{
	auto_free uint8_t *file = xcalloc(1, size + 16);
	const uint32_t head[] = {0x54564319, 0x534d5553, (uint32_t)size};
	uint32_t crc;

	memcpy(file, head, sizeof(head));
	if (size)
		memcpy(file + sizeof(head), data, size);
	crc = crc32c(0, file, sizeof(head) + size);
	memcpy(file + sizeof(head) + size, &crc, sizeof(crc));
	fuzz_file("integrity.img", file, size + 16, size + 16);
}

static bool is_listed_right(struct img_sums *s, const char *name, const char *data, size_t len)
{
	const struct img_sum *sum = img_sums_find(s, name);

	return sum && sum->size == len && (!sum->has_crc || sum->crc == crc32c(0, data, len));
}

static void look(const struct img_dir *dir)
{
	struct page_sums_table table;
	struct img_reader *reader = NULL;
	struct err err = ERR_INIT;
	bool opened = img_open(dir, IMG_PSTREE, 0, &reader, &err) == 0 && reader;

	fuzz_assert(!opened || is_listed_right(dir->sums, "pstree.img", pstree, 8));
	img_reader_free(reader);
	err = (struct err)ERR_INIT;
	if (page_sums_open(dir, 1, NPAGES, &table, &err) > 0) {
		fuzz_assert(is_listed_right(dir->sums, "sums-1.img", sums, NPAGES * 4));
		fuzz_assert(table.npages == NPAGES && memcmp(table.sums, sums, NPAGES * 4) == 0);
	}
	page_sums_close(&table);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct img_dir dir = *fuzz_dir();
	struct err err = ERR_INIT;

	if (size > 4096)
		return 0;
	write_list(data, size);
	fuzz_file("inventory.img", (const uint8_t *)inventory, 10, 10);
	fuzz_file("pstree.img", (const uint8_t *)pstree, 8, 8);
	fuzz_file("sums-1.img", (const uint8_t *)sums, NPAGES * 4, NPAGES * 4);
	dir.sums = img_sums_new();
	if (img_sums_read(&dir, &err) == 0 && img_sums_known(dir.sums))
		look(&dir);
	img_sums_free(dir.sums);
	return 0;
}
