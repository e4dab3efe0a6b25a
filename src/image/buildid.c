/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NT_GNU_BUILD_ID, in a PT_NOTE segment. The file is hostile like any other: every offset and
 * length is bounded before it is used, and what doesn't parse has no build id.
 */
#include "image/buildid.h"

#include "base/auto.h"

#include <elf.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#define MAX_PHDRS 64
#define MAX_NOTES 8192

struct segment {
	uint64_t off, len, align;
};

static bool read_at(int fd, void *buf, size_t len, uint64_t off)
{
	return off < INT64_MAX && pread(fd, buf, len, (off_t)off) == (ssize_t)len;
}

/* The id in a buffer of notes; 0 bytes if there is none. */
static size_t find_in_notes(const uint8_t *notes, size_t len, size_t align, const uint8_t **ret)
{
	size_t at = 0;
	Elf64_Nhdr n; /* the same in both classes */

	while (len - at >= sizeof(n)) {
		size_t name, desc;

		memcpy(&n, notes + at, sizeof(n));
		at += sizeof(n);
		if (n.n_namesz > MAX_NOTES || n.n_descsz > MAX_NOTES)
			return 0;
		name = at;
		desc = name + (n.n_namesz + align - 1) / align * align;
		at = desc + (n.n_descsz + align - 1) / align * align;
		if (desc + n.n_descsz > len)
			return 0;
		if (n.n_type == NT_GNU_BUILD_ID && n.n_namesz == sizeof(ELF_NOTE_GNU) &&
		    !memcmp(notes + name, ELF_NOTE_GNU, sizeof(ELF_NOTE_GNU))) {
			*ret = notes + desc;
			return n.n_descsz;
		}
		if (at > len)
			return 0;
	}
	return 0;
}

static size_t read_segments(int fd, struct segment segs[MAX_PHDRS])
{
	union {
		unsigned char ident[EI_NIDENT];
		Elf64_Ehdr e64;
		Elf32_Ehdr e32;
	} h;
	size_t n = 0;

	memset(&h, 0, sizeof(h));
	if (!read_at(fd, &h, sizeof(h.e32), 0) || memcmp(h.ident, ELFMAG, SELFMAG) ||
	    h.ident[EI_DATA] != ELFDATA2LSB)
		return 0;
	if (h.ident[EI_CLASS] == ELFCLASS64) {
		Elf64_Phdr p;

		if (!read_at(fd, &h, sizeof(h.e64), 0))
			return 0;
		for (size_t i = 0; i < h.e64.e_phnum && i < MAX_PHDRS; i++)
			if (read_at(fd, &p, sizeof(p), h.e64.e_phoff + i * sizeof(p)) &&
			    p.p_type == PT_NOTE)
				segs[n++] = (struct segment){p.p_offset, p.p_filesz, p.p_align};
	} else if (h.ident[EI_CLASS] == ELFCLASS32) {
		Elf32_Phdr p;

		for (size_t i = 0; i < h.e32.e_phnum && i < MAX_PHDRS; i++)
			if (read_at(fd, &p, sizeof(p), h.e32.e_phoff + i * sizeof(p)) &&
			    p.p_type == PT_NOTE)
				segs[n++] = (struct segment){p.p_offset, p.p_filesz, p.p_align};
	}
	return n;
}

size_t build_id_read(int fd, uint32_t words[BUILD_ID_WORDS])
{
	struct segment segs[MAX_PHDRS];
	size_t n = read_segments(fd, segs);
	uint8_t notes[MAX_NOTES];

	for (size_t i = 0; i < n; i++) {
		size_t len = MIN(segs[i].len, sizeof(notes)), idlen;
		const uint8_t *id;

		if (!read_at(fd, notes, len, segs[i].off))
			continue;
		/* 4 by the ABI; some linkers align 64-bit property notes to 8. */
		idlen = find_in_notes(notes, len, segs[i].align == 8 ? 8 : 4, &id);
		if (!idlen || idlen > BUILD_ID_WORDS * sizeof(uint32_t))
			continue;
		memset(words, 0, BUILD_ID_WORDS * sizeof(uint32_t));
		memcpy(words, id, idlen);
		return (idlen + 3) / 4;
	}
	return 0;
}
