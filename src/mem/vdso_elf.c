/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A vDSO is a small shared object, linked at address 0, so that addresses are offsets. The symbol
 * table is found by its section header: the vDSOs of all kernels have them, while the hash table
 * that would tell its length comes in two forms.
 */
#include "mem/vdso_elf.h"

#include <elf.h>
#include <string.h>

static bool inside(uint64_t off, uint64_t size, size_t len)
{
	return off <= len && size <= len - off;
}

static bool read_section(const uint8_t *image, size_t len, const Elf64_Ehdr *eh, uint64_t i,
			 Elf64_Shdr *ret)
{
	uint64_t off = eh->e_shoff + i * sizeof(*ret);

	if (i >= eh->e_shnum || off < eh->e_shoff || !inside(off, sizeof(*ret), len))
		return false;
	memcpy(ret, image + off, sizeof(*ret));
	return inside(ret->sh_offset, ret->sh_size, len);
}

static bool find_tables(const uint8_t *image, size_t len, Elf64_Shdr *syms, Elf64_Shdr *strs)
{
	Elf64_Ehdr eh;

	if (len < sizeof(eh))
		return false;
	memcpy(&eh, image, sizeof(eh));
	if (memcmp(eh.e_ident, ELFMAG, SELFMAG) != 0 || eh.e_ident[EI_CLASS] != ELFCLASS64 ||
	    eh.e_shentsize != sizeof(*syms))
		return false;
	for (uint64_t i = 0; i < eh.e_shnum; i++)
		if (read_section(image, len, &eh, i, syms) && syms->sh_type == SHT_DYNSYM)
			return read_section(image, len, &eh, syms->sh_link, strs);
	return false;
}

static bool name_is(const uint8_t *image, const Elf64_Shdr *strs, uint64_t at, const char *name)
{
	size_t n = strlen(name) + 1;

	return at < strs->sh_size && n <= strs->sh_size - at &&
	       memcmp(image + strs->sh_offset + at, name, n) == 0;
}

bool vdso_find(const uint8_t *image, size_t len, const char *name, uint64_t *ret_off,
	       uint64_t *ret_size)
{
	Elf64_Shdr syms, strs;

	if (!find_tables(image, len, &syms, &strs))
		return false;
	for (uint64_t i = 0; i < syms.sh_size / sizeof(Elf64_Sym); i++) {
		Elf64_Sym s;

		memcpy(&s, image + syms.sh_offset + i * sizeof(s), sizeof(s));
		if (ELF64_ST_TYPE(s.st_info) != STT_FUNC || s.st_shndx == SHN_UNDEF ||
		    !name_is(image, &strs, s.st_name, name) || !inside(s.st_value, s.st_size, len))
			continue;
		*ret_off = s.st_value;
		*ret_size = s.st_size;
		return true;
	}
	return false;
}
