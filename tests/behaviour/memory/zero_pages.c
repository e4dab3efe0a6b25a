/* SPDX-License-Identifier: Apache-2.0 */
/* Pages that were only read are the kernel's zero page: they take no memory after a restore. */
#include "maps.h"
#include "zero_page.h"

#define LEN (32 * MIB)

BEHAVE("pages that were read and never written")
{
	char *p = map_new(LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	char *written;
	unsigned char sum = 0;

	if (!kernel_has_zero_page())
		behave_skip("this kernel gives programs no zero page");
	MUST(madvise(p, LEN, MADV_NOHUGEPAGE) == 0 || errno == EINVAL);
	map_new(PAGE, PROT_NONE, MAP_PRIVATE);
	written = map_new(16 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	memset(written, 0, 16 * PAGE); /* zeros, but pages of its own */
	for (size_t i = 0; i < LEN; i += PAGE)
		sum |= (unsigned char)p[i];
	p[LEN / 2] = 1;
	MUST(sum == 0 && map_kib(p, "Anonymous") <= 4);
	FREEZE();
	CHECK(map_kib(p, "Anonymous") <= 64, "%ld KiB of memory for zeros",
	      map_kib(p, "Anonymous"));
	CHECK(p[LEN / 2] == 1, "lost a write");
	p[LEN / 2] = 0;
	CHECK(is_zero(p, LEN), "other bytes than zeros");
	CHECK(is_zero(written, 16 * PAGE), "other bytes than written zeros");
	memset(p, 2, 64 * PAGE);
	CHECK(p[0] == 2 && p[64 * PAGE - 1] == 2 && p[64 * PAGE] == 0, "they can't be written");
}
