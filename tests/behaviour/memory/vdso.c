/* SPDX-License-Identifier: Apache-2.0 */
/* A function of the vDSO called through a pointer from before, and clocks that go on. */
#include "maps.h"

#include <elf.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <time.h>

typedef int clock_fn(clockid_t clock, struct timespec *ret);

static void *vdso_symbol(const char *name)
{
	const char *base = (const char *)getauxval(AT_SYSINFO_EHDR);
	const Elf64_Ehdr *eh = (const void *)base;
	const Elf64_Phdr *ph = (const void *)(base + eh->e_phoff);
	const Elf64_Sym *symbols = NULL;
	const char *strings = NULL;
	const uint32_t *hash = NULL;

	for (int i = 0; i < eh->e_phnum; i++) {
		if (ph[i].p_type != PT_DYNAMIC)
			continue;
		for (const Elf64_Dyn *d = (const void *)(base + ph[i].p_offset); d->d_tag; d++) {
			if (d->d_tag == DT_SYMTAB)
				symbols = (const void *)(base + d->d_un.d_ptr);
			else if (d->d_tag == DT_STRTAB)
				strings = base + d->d_un.d_ptr;
			else if (d->d_tag == DT_HASH)
				hash = (const void *)(base + d->d_un.d_ptr);
		}
	}
	for (uint32_t i = 0; symbols && strings && i < (hash ? hash[1] : 16); i++) {
		if (strcmp(strings + symbols[i].st_name, name) == 0)
			return (char *)(uintptr_t)base + symbols[i].st_value;
	}
	return NULL;
}

static double seconds(clock_fn *clock, clockid_t id)
{
	struct timespec t;

	CHECK(clock(id, &t) == 0, "the vDSO's clock_gettime fails");
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int by_call(clockid_t id, struct timespec *t)
{
	return (int)syscall(SYS_clock_gettime, id, t);
}

BEHAVE("the vDSO through an old pointer")
{
	clock_fn *clock = NULL;
	struct map before, after;
	double monotonic;
	void *symbol;

	if (!getauxval(AT_SYSINFO_EHDR))
		behave_skip("no vDSO here");
	symbol = vdso_symbol("__vdso_clock_gettime");
	MUST(symbol && map_at(symbol, &before));
	memcpy(&clock, &symbol, sizeof(clock));
	monotonic = seconds(clock, CLOCK_MONOTONIC);
	FREEZE();
	CHECK(map_at(symbol, &after) && after.start == before.start && after.end == before.end,
	      "the vDSO is elsewhere");
	CHECK(strcmp(after.path, "[vdso]") == 0, "the vDSO is called '%s'", after.path);
	CHECK(strcmp(after.perms, "r-xp") == 0, "the vDSO's protection is %s", after.perms);
	CHECK(seconds(clock, CLOCK_MONOTONIC) > monotonic, "the clock goes backwards");
	for (int i = 0; i < 1000; i++) {
		double a = seconds(by_call, CLOCK_REALTIME), b = seconds(clock, CLOCK_REALTIME);
		double c = seconds(by_call, CLOCK_REALTIME);

		CHECK(a <= b + 1e-6 && b <= c + 1e-6, "vDSO %f, kernel %f to %f", b, a, c);
	}
	CHECK(time(NULL) > 0 && getauxval(AT_SYSINFO_EHDR) == before.start, "libc's own use");
}
