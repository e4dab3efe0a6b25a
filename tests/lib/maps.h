/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a memory test asks about its own address space: the line of /proc/self/maps, the flags and
 * sizes of /proc/self/smaps, and what happens when a byte is touched.
 */
#pragma once

#include "behave.h"

#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096ul
#define MIB  (1ul << 20)

struct map {
	uint64_t start, end, offset, inode;
	char perms[5];
	char path[256]; /* "" for none */
};

/* The fields of one line; false for a line that isn't a mapping's head. */
static inline bool map_parse(const char *line, struct map *m)
{
	m->path[0] = '\0';
	return sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s %" SCNx64 " %*x:%*x %" SCNu64 " %255[^\n]",
		      &m->start, &m->end, m->perms, &m->offset, &m->inode, m->path) >= 5;
}

/* The mapping that holds addr. */
static inline bool map_at(const volatile void *addr, struct map *m)
{
	FILE *f = fopen("/proc/self/maps", "re");
	bool found = false;
	char line[512];

	while (f && !found && fgets(line, sizeof(line), f))
		found = map_parse(line, m) && m->start <= (uintptr_t)addr &&
			(uintptr_t)addr < m->end;
	if (f)
		fclose(f);
	return found;
}

/* "r-xp" and the like; "none" where nothing is mapped. */
static inline const char *map_perms(const volatile void *addr)
{
	static struct map m;

	return map_at(addr, &m) ? m.perms : "none";
}

/* Copies what smaps says behind "field:" about the mapping that holds addr. */
static inline bool map_field(const volatile void *addr, const char *field, char *ret, size_t size)
{
	FILE *f = fopen("/proc/self/smaps", "re");
	bool here = false, found = false;
	size_t len = strlen(field);
	char line[512];
	struct map m;

	while (f && !found && fgets(line, sizeof(line), f)) {
		if (map_parse(line, &m))
			here = m.start <= (uintptr_t)addr && (uintptr_t)addr < m.end;
		else if (here && strncmp(line, field, len) == 0 && line[len] == ':')
			found = snprintf(ret, size, "%s", line + len + 1) > 0;
	}
	if (f)
		fclose(f);
	return found;
}

/* One of the two-letter flags of VmFlags. */
static inline bool map_has_flag(const volatile void *addr, const char *flag)
{
	char flags[256], word[8];

	snprintf(word, sizeof(word), " %s", flag);
	return map_field(addr, "VmFlags", flags, sizeof(flags)) && strstr(flags, word) != NULL;
}

/* Rss, Anonymous, Locked ...; -1: no such mapping or field. */
static inline long map_kib(const volatile void *addr, const char *field)
{
	char value[64];

	return map_field(addr, field, value, sizeof(value)) ? strtol(value, NULL, 10) : -1;
}

/* What touching a byte brings: 0, or the signal. */
static sigjmp_buf touch_back;

static inline void touch_failed(int sig)
{
	siglongjmp(touch_back, sig);
}

static inline int touch(volatile char *p, bool write)
{
	struct sigaction on = {.sa_handler = touch_failed}, segv, bus;
	int sig;

	sigaction(SIGSEGV, &on, &segv);
	sigaction(SIGBUS, &on, &bus);
	sig = sigsetjmp(touch_back, 1);
	if (sig == 0) {
		char c = *p;

		if (write)
			*p = c;
	}
	sigaction(SIGSEGV, &segv, NULL);
	sigaction(SIGBUS, &bus, NULL);
	return sig;
}

static inline int touch_read(const volatile void *p)
{
	return touch((volatile char *)p, false);
}

static inline int touch_write(volatile void *p)
{
	return touch(p, true);
}

static inline void *map_new(size_t len, int prot, int flags)
{
	void *p = mmap(NULL, len, prot, flags | MAP_ANONYMOUS, -1, 0);

	MUST(p != MAP_FAILED);
	return p;
}

/* Bytes that tell their place: a page that moved or stems from elsewhere doesn't match. */
static inline uint64_t pattern_word(size_t i, uint64_t seed)
{
	return (i + 1) * 0x9e3779b97f4a7c15ul ^ seed * 0xd6e8feb86659fd93ul;
}

static inline void pattern_fill(void *p, size_t len, uint64_t seed)
{
	for (size_t i = 0; i < len / 8; i++)
		((uint64_t *)p)[i] = pattern_word(i, seed);
}

static inline bool pattern_is(const void *p, size_t len, uint64_t seed)
{
	for (size_t i = 0; i < len / 8; i++) {
		if (((const uint64_t *)p)[i] != pattern_word(i, seed))
			return false;
	}
	return true;
}

static inline bool is_zero(const void *p, size_t len)
{
	for (size_t i = 0; i < len / 8; i++) {
		if (((const uint64_t *)p)[i] != 0)
			return false;
	}
	return true;
}
