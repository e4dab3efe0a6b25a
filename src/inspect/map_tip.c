/* SPDX-License-Identifier: Apache-2.0 */
/* What the picture says in words: names of rounds, who shares, the text to a block. */
#include "base/auto.h"
#include "inspect/map_draw.h"
#include "inspect/map_text.h"

#include <inttypes.h>
#include <sys/mman.h>

enum { NAME_MAX_CHARS = 300 };

struct amap_round amap_round_name(const struct amap *am, unsigned int level)
{
	struct amap_round r;

	if (level + 1 == am->nlevels && am->depth > am->nlevels)
		snprintf(r.s, sizeof(r.s), "rounds 1\u2013%zu", am->depth - level);
	else
		snprintf(r.s, sizeof(r.s), "round %zu", am->depth - level);
	return r;
}

void amap_put_users(FILE *out, const struct amap_users *u, size_t most)
{
	size_t n = MIN(u->n, MIN(most, (size_t)AMAP_NAMED_PIDS));

	for (size_t i = 0; i < n; i++)
		fprintf(out, "%s%u", i ? ", " : "", u->pids[i]);
	if (u->n > n)
		fprintf(out, " and %zu more", u->n - n);
}

static void put_pages(FILE *out, const char *what, uint64_t n)
{
	if (n)
		fprintf(out, "%s: %" PRIu64 " page%s (%s)\n", what, n, n == 1 ? "" : "s",
			amap_pages(n).s);
}

static void put_classes(FILE *out, const struct amap *am, const struct amap_counts *c)
{
	char what[128];

	for (unsigned int i = 0; i < am->nlevels; i++) {
		const char *where = i ? "in a parent" : "in this directory";
		struct amap_round round = amap_round_name(am, i);

		if (am->depth > 1)
			snprintf(what, sizeof(what), "last written in %s, %s", round.s, where);
		else
			snprintf(what, sizeof(what), "%s", where);
		put_pages(out, what, c->n[AMAP_OWN][i]);
		snprintf(what + 0, sizeof(what), "shared by copy-on-write%s%s",
			 am->depth > 1 ? ", last written in " : "", am->depth > 1 ? round.s : "");
		put_pages(out, what, c->n[AMAP_COW][i]);
	}
}

static void put_written(FILE *out, const struct amap *am, const struct amap_counts *c)
{
	if (am->depth < 2 || !amap_layer_sum(c, AMAP_WRITTEN))
		return;
	fputs("written, pages by round:", out);
	for (unsigned int i = am->nlevels; i-- > 0;)
		fprintf(out, " %s%" PRIu64,
			i + 1 == am->nlevels && am->depth > i + 1 ? "(older) " : "",
			c->n[AMAP_WRITTEN][i]);
	fputc('\n', out);
}

static const char *absent_name(enum amap_kind kind)
{
	switch (kind) {
	case AMAP_FILE_PRIVATE:
	case AMAP_FILE_SHARED:
		return "not in the checkpoint: as in the file";
	case AMAP_KERNEL:
		return "not in the checkpoint: the kernel has them";
	default:
		return "not in the checkpoint: never touched, or zero";
	}
}

static void put_mapping(FILE *out, const struct amap_mapping *m)
{
	if (m->kind != AMAP_RANGE)
		fprintf(out, "%c%c%c%c ", m->prot & PROT_READ ? 'r' : '-',
			m->prot & PROT_WRITE ? 'w' : '-', m->prot & PROT_EXEC ? 'x' : '-',
			m->shared ? 's' : 'p');
	fputs(amap_kind_name(m->kind), out);
	if (m->name[0]) {
		fputs(": ", out);
		amap_put_text(out, m->name, NAME_MAX_CHARS);
	}
	if (m->pgoff)
		fprintf(out, " + %#" PRIx64, m->pgoff);
	fputc('\n', out);
}

static void put_shared_with(FILE *out, const struct amap *am, const struct amap_block *b)
{
	if (b->family != AMAP_NONE) {
		const struct amap_family *f = &am->families.data[b->family];

		fprintf(out, "copy-on-write: stored with %" PRIu64 ", shared among ", f->owner);
		amap_put_users(out, &f->users, AMAP_NAMED_PIDS);
		fputc('\n', out);
	}
	if (b->object != AMAP_NONE && am->objects.data[b->object].users.n > 1) {
		fputs("mapped by ", out);
		amap_put_users(out, &am->objects.data[b->object].users, AMAP_NAMED_PIDS);
		fputc('\n', out);
	}
}

void amap_put_block_tip(FILE *out, const struct amap_layout *l, const struct amap_panel *panel,
			const struct amap_block *b)
{
	const struct amap_mapping *m = &panel->p->mappings.data[b->first];
	uint64_t kept = amap_kept(&b->counts);

	fprintf(out, "%" PRIx64 "-%" PRIx64 "\n", b->start, b->end);
	if (b->n == 1)
		put_mapping(out, m);
	else
		fprintf(out, "%zu mappings, folded\n", b->n);
	put_pages(out, "size", b->npages);
	if (panel->p->broken_pages) {
		fputs("what is in it can't be read", out);
		return;
	}
	put_classes(out, l->am, &b->counts);
	if (kept < b->npages)
		put_pages(out, b->n == 1 ? absent_name(m->kind) : "not in the checkpoint",
			  b->npages - kept);
	if (b->n == 1)
		put_pages(out, "guards (MADV_GUARD_INSTALL)", m->guards);
	put_written(out, l->am, &b->counts);
	put_shared_with(out, l->am, b);
}
