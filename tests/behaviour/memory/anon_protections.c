/* SPDX-License-Identifier: Apache-2.0 */
/* Private anonymous memory keeps its bytes under each of the eight protections, and these bite. */
#include "maps.h"

enum { LEN = 5 * PAGE };

struct area {
	char *p;
	char perms[5];
	int read, write; /* what touching brought before */
};

static const char *expected_perms(int prot)
{
	static char s[5];

	snprintf(s, sizeof(s), "%c%c%cp", prot & PROT_READ ? 'r' : '-',
		 prot & PROT_WRITE ? 'w' : '-', prot & PROT_EXEC ? 'x' : '-');
	return s;
}

BEHAVE("private anonymous mappings of all protections")
{
	struct area areas[8];

	for (int prot = 0; prot < 8; prot++) {
		struct area *a = &areas[prot];

		/* A page of nothing on each side keeps neighbours from becoming one mapping. */
		a->p = (char *)map_new(LEN + 2 * PAGE, PROT_NONE, MAP_PRIVATE) + PAGE;
		MUST(mprotect(a->p, LEN, PROT_READ | PROT_WRITE) == 0);
		pattern_fill(a->p, LEN, (unsigned)prot);
		MUST(mprotect(a->p, LEN, prot) == 0);
		memcpy(a->perms, map_perms(a->p), sizeof(a->perms));
		MUST(strcmp(a->perms, expected_perms(prot)) == 0);
		a->read = touch_read(a->p);
		a->write = touch_write(a->p);
		MUST(prot & PROT_WRITE ? !a->write : a->write == SIGSEGV);
	}
	FREEZE();
	for (int prot = 0; prot < 8; prot++) {
		struct area *a = &areas[prot];

		CHECK(strcmp(map_perms(a->p), a->perms) == 0, "%s became %s", a->perms,
		      map_perms(a->p));
		CHECK(touch_read(a->p) == a->read, "%s: reading: signal %d, was %d", a->perms,
		      touch_read(a->p), a->read);
		CHECK(touch_write(a->p) == a->write, "%s: writing: signal %d, was %d", a->perms,
		      touch_write(a->p), a->write);
		CHECK(mprotect(a->p, LEN, PROT_READ) == 0, "mprotect: %m");
		CHECK(pattern_is(a->p, LEN, (unsigned)prot), "%s: other bytes", a->perms);
	}
}
