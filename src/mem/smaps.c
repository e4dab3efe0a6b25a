/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /proc/PID/smaps: a header line per mapping as in maps, then "Name: value" lines, VmFlags last.
 *
 * smaps and not maps: only VmFlags tells growing stacks, mlock, and what madvise() has set. The
 * price is that the kernel walks the page tables once. PROCMAP_QUERY (6.11) is quicker but knows
 * none of these flags.
 */
#include "mem/smaps.h"

#include "base/auto.h"
#include "base/parse.h"
#include "kernel/proc.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>

/* clang-format off */
static const struct {
	char word[3];
	uint32_t flag;
} flag_words[] = {
	{"gd", SF_GROWSDOWN}, {"lo", SF_LOCKED},     {"nr", SF_NORESERVE},  {"ht", SF_HUGETLB},
	{"dc", SF_DONTCOPY},  {"mg", SF_MERGEABLE},  {"hg", SF_HUGEPAGE},   {"nh", SF_NOHUGEPAGE},
	{"dd", SF_DONTDUMP},  {"wf", SF_WIPEONFORK}, {"rr", SF_RAND_READ},  {"sr", SF_SEQ_READ},
	{"io", SF_IO},	      {"pf", SF_PFNMAP},     {"mm", SF_MIXEDMAP},   {"um", SF_UFFD},
	{"uw", SF_UFFD_WP},      {"ui", SF_UFFD},	     {"ss", SF_SHADOWSTACK}, {"dp", SF_DROPPABLE},
	{"sl", SF_SEALED},
};
/* clang-format on */

static uint32_t parse_vmflags(const char *p)
{
	uint32_t flags = 0;
	char word[8];

	while (scan_word(&p, word, sizeof(word)))
		for (size_t i = 0; i < ARRAY_SIZE(flag_words); i++)
			if (!strcmp(word, flag_words[i].word))
				flags |= flag_words[i].flag;
	return flags;
}

/* The kernel writes a newline in a name as "\012", and nothing else differently. */
static void unescape(char *s)
{
	char *to = s;

	for (; *s; to++) {
		if (!strncmp(s, "\\012", 4)) {
			*to = '\n';
			s += 4;
		} else {
			*to = *s++;
		}
	}
	*to = '\0';
}

static bool parse_perms(const char *w, struct smaps_entry *e)
{
	e->prot = (w[0] == 'r' ? PROT_READ : 0) | (w[1] == 'w' ? PROT_WRITE : 0) |
		  (w[2] == 'x' ? PROT_EXEC : 0);
	e->shared = w[3] == 's';
	return strlen(w) == 4 && (e->shared || w[3] == 'p');
}

/* "7f00-7f01 rw-p 00000000 fe:00 247134      /usr/bin/cat" */
static bool parse_header(char *line, struct smaps_entry *e)
{
	struct proc_map m;

	*e = (struct smaps_entry){.page_kib = 4};
	if (proc_parse_map(line, &m) < 0 || m.start >= m.end || !parse_perms(m.perms, e))
		return false;
	e->start = m.start;
	e->end = m.end;
	e->pgoff = m.pgoff;
	e->ino = m.ino;
	e->dev = makedev(m.dev_major, m.dev_minor);
	if (*m.name) {
		char *path = line + (m.name - line);

		unescape(path);
		e->path = path;
	}
	return true;
}

/* Lines below a header start with a capital; addresses are lower-case hex. */
static bool is_header(const char *line)
{
	return (*line >= '0' && *line <= '9') || (*line >= 'a' && *line <= 'f');
}

/* A power of two, from a page up; in KiB. */
static bool parse_page_size(const char *p, uint32_t *kib)
{
	uint64_t n;

	if (!scan_u64(&p, 10, &n) || n < 4 || n > UINT32_MAX || (n & (n - 1)))
		return false;
	*kib = (uint32_t)n;
	return true;
}

int smaps_parse(char *text, smaps_vec *ret, struct err *err)
{
	for (char *line = text, *next; line && *line; line = next) {
		const char *rest;
		uint64_t n;

		next = strchr(line, '\n');
		if (next)
			*next++ = '\0';
		if (is_header(line)) {
			if (!parse_header(line, vec_push(ret)))
				return err_input(err, "smaps: can't read line '%s'", line);
		} else if (!ret->len) {
			return err_input(err, "smaps: '%s' before the first mapping", line);
		} else if ((rest = str_after(line, "VmFlags:"))) {
			ret->data[ret->len - 1].flags = parse_vmflags(rest);
		} else if ((rest = str_after(line, "KernelPageSize:"))) {
			if (!parse_page_size(rest, &ret->data[ret->len - 1].page_kib))
				return err_input(err, "smaps: can't read line '%s'", line);
		} else if ((rest = str_after(line, "ProtectionKey:")) && scan_u64(&rest, 10, &n)) {
			ret->data[ret->len - 1].pkey = (uint32_t)n;
		}
	}
	return 0;
}
