/* SPDX-License-Identifier: Apache-2.0 */
/* The text of /proc/PID/smaps, and the symbol table of a vDSO. */
#include "fuzz.h"

#include "mem/classify.h"
#include "mem/vdso_elf.h"

#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

static void check_text(const uint8_t *data, size_t size)
{
	const struct classify_ctx ctx = {.shm_dev = makedev(0, 1)};
	char *text = xcalloc(1, size + 1);
	smaps_vec entries = {0};
	index_vec devices = {0};
	struct err err = ERR_INIT;
	vma_vec vmas = {0};
	bool uprobes = false;

	memcpy(text, data, size);
	if (smaps_parse(text, &entries, &err) == 0) {
		vec_foreach (e, &entries)
			fuzz_assert(e->start < e->end && (!e->path || *e->path));
		if (classify_all(&ctx, &entries, &vmas, &devices, &uprobes, &err) < 0)
			fuzz_assert(err.kind == ERR_REFUSED && err.hint[0]);
		vec_foreach (i, &devices)
			fuzz_assert(*i < vmas.len);
	} else {
		fuzz_assert(err.kind == ERR_INPUT);
	}
	vec_done(&entries);
	vec_done(&devices);
	vec_done(&vmas);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint64_t off, len;

	check_text(data, size);
	if (vdso_find(data, size, "__vdso_time", &off, &len))
		fuzz_assert(off <= size && len <= size - off);
	return 0;
}
