/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Search for instructions in the executable mappings of a target: `syscall; ret` (0f 05 c3, also
 * in the middle of other instructions) and rt_sigreturn (`mov $15` to eax or rax, then `syscall`:
 * the C library's restorer for signal handlers).
 *
 * Targets mostly map the same C library, so what was found in a file is remembered by device,
 * inode and file offset of the mapping. What is remembered is compared with the bytes of the next
 * target before it is used: a file may have been changed in place, or its pages in memory.
 */
#include "remote/arch/x86_64/gadget.h"

#include "base/auto.h"
#include "base/vec.h"
#include "kernel/proc.h"

#include <string.h>

#define CHUNK	   (64 * 1024)
#define OVERLAP	   16
#define SEARCH_MAX (16 * 1024 * 1024) /* per mapping */

struct known {
	unsigned int dev_major, dev_minor;
	uint64_t ino, pgoff, size;
	/* relative to the mapping's start, UINT64_MAX: none in there */
	uint64_t syscall_ret, sigreturn, syscall;
};

struct gadgets {
	unsigned int refs;
	VEC(struct known) known;
};

struct gadgets *gadgets_new(void)
{
	struct gadgets *g = xcalloc(1, sizeof(*g));

	g->refs = 1;
	return g;
}

struct gadgets *gadgets_ref(struct gadgets *g)
{
	if (g)
		g->refs++;
	return g;
}

void gadgets_unref(struct gadgets *g)
{
	if (!g || --g->refs)
		return;
	vec_done(&g->known);
	free(g);
}

static const uint8_t code_syscall_ret[] = {0x0f, 0x05, 0xc3};
static const uint8_t code_syscall[] = {0x0f, 0x05};
static const uint8_t code_sigreturn_eax[] = {0xb8, 0x0f, 0, 0, 0, 0x0f, 0x05};
static const uint8_t code_sigreturn_rax[] = {0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05};

static void first_at(uint64_t *at, uint64_t off, bool found)
{
	if (*at == UINT64_MAX && found)
		*at = off;
}

/* Do these bytes stand in front of p? */
static bool stands_before(const uint8_t *buf, const uint8_t *p, const uint8_t *code, size_t len)
{
	return (size_t)(p - buf) >= len && memcmp(p - len, code, len) == 0;
}

/* Looks at every `syscall` and what stands around it. */
static void search_bytes(const uint8_t *buf, size_t len, uint64_t base, struct known *k)
{
	const size_t insn = sizeof(code_syscall);
	const size_t mov_eax = sizeof(code_sigreturn_eax) - insn;
	const size_t mov_rax = sizeof(code_sigreturn_rax) - insn;
	const uint8_t *p = buf, *end = buf + len;

	while ((p = memmem(p, (size_t)(end - p), code_syscall, insn))) {
		uint64_t off = base + (uint64_t)(p - buf);

		first_at(&k->syscall, off, true);
		first_at(&k->syscall_ret, off, p + insn < end && p[insn] == 0xc3);
		first_at(&k->sigreturn, off - mov_eax,
			 stands_before(buf, p, code_sigreturn_eax, mov_eax));
		first_at(&k->sigreturn, off - mov_rax,
			 stands_before(buf, p, code_sigreturn_rax, mov_rax));
		p += insn;
	}
}

static struct known search_mapping(const struct target *t, const struct proc_map *m)
{
	auto_free uint8_t *buf = xcalloc(1, CHUNK + OVERLAP);
	uint64_t len = MIN(m->end - m->start, (uint64_t)SEARCH_MAX);
	struct known k = {m->dev_major,	     m->dev_minor, m->ino,     m->pgoff,
			  m->end - m->start, UINT64_MAX,   UINT64_MAX, UINT64_MAX};

	for (uint64_t off = 0; off < len; off += CHUNK) {
		size_t n = MIN(len - off, (uint64_t)CHUNK + OVERLAP);
		struct err err = ERR_INIT;

		if (target_read(t, raddr(m->start + off), buf, n, &err) < 0)
			break; /* the end of the file, or a page that can't be had */
		search_bytes(buf, n, off, &k);
		if (k.syscall_ret != UINT64_MAX && k.sigreturn != UINT64_MAX)
			break;
	}
	return k;
}

static struct known *known_find(struct gadgets *g, const struct proc_map *m)
{
	vec_foreach (k, &g->known)
		if (k->ino == m->ino && k->dev_major == m->dev_major &&
		    k->dev_minor == m->dev_minor && k->pgoff == m->pgoff &&
		    k->size == m->end - m->start)
			return k;
	return NULL;
}

static bool is_code_at(const struct target *t, uint64_t va, const uint8_t *code, size_t len)
{
	uint8_t buf[OVERLAP];
	struct err err = ERR_INIT;

	return target_read(t, raddr(va), buf, len, &err) == 0 && memcmp(buf, code, len) == 0;
}

static void take(uint64_t *to, uint64_t start, uint64_t off, bool good)
{
	if (!*to && off != UINT64_MAX && good)
		*to = start + off;
}

void gadgets_search(struct gadgets *g, const struct target *t, const struct proc_map *m,
		    struct gadget_set *set)
{
	struct known *k = m->ino ? known_find(g, m) : NULL, fresh;
	uint64_t at;

	if (!k) {
		fresh = search_mapping(t, m);
		k = &fresh;
		if (m->ino)
			*(k = vec_push(&g->known)) = fresh;
	}
	at = m->start + k->syscall_ret;
	take(&set->syscall_ret, m->start, k->syscall_ret,
	     k->syscall_ret != UINT64_MAX &&
		     is_code_at(t, at, code_syscall_ret, sizeof(code_syscall_ret)));
	at = m->start + k->syscall;
	take(&set->syscall, m->start, k->syscall,
	     k->syscall != UINT64_MAX && is_code_at(t, at, code_syscall, sizeof(code_syscall)));
	at = m->start + k->sigreturn;
	take(&set->sigreturn, m->start, k->sigreturn,
	     k->sigreturn != UINT64_MAX &&
		     (is_code_at(t, at, code_sigreturn_eax, sizeof(code_sigreturn_eax)) ||
		      is_code_at(t, at, code_sigreturn_rax, sizeof(code_sigreturn_rax))));
}
