/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Summary: what a restore will look for outside of the images: executables, libraries and other
 * mapped files, open files, external mounts and files, and the options that it will ask for.
 */
#include "inspect/summary.h"

#include "base/auto.h"
#include "image/schema/file-lock.pb-c.h"
#include "image/schema/mnt.pb-c.h"
#include "image/schema/remap-file-path.pb-c.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

/* vma_entry.status; disk values */
#define ST_FILE	 (1u << 6 | 1u << 7)
#define ST_MEMFD (1u << 14)

/* What is mapped: file ids to 1, or 2 if with code. */
enum { MAPPED_DATA = 1, MAPPED_CODE = 2 };

static void note_mappings(const MmEntry *mm, struct map *mapped)
{
	for (size_t i = 0; i < mm->n_vmas; i++) {
		const VmaEntry *v = mm->vmas[i];
		size_t code = v->prot & PROT_EXEC ? MAPPED_CODE : MAPPED_DATA;
		size_t have = map_get(mapped, v->shmid);

		if (!(v->status & ST_FILE) || v->status & ST_MEMFD)
			continue;
		if (have == MAP_NONE || have < code)
			map_put(mapped, v->shmid, code);
	}
}

/* A deleted file comes with the images. */
static void note_remapped(struct summary *s, struct map *remapped)
{
	auto_img_reader struct img_reader *r = NULL;
	struct err err = ERR_INIT;
	RemapFilePathEntry *e;

	/* What is broken there, summary_files has told. */
	if (img_open(&s->cp->dir, IMG_REMAP_FPATH, 0, &r, &err) < 0)
		return;
	while (img_get(r, s->scratch, &e, &err) > 0)
		map_put(remapped, e->orig_id, 1);
}

static void add_once(json_t *list, struct map *seen, const FileEntry *f)
{
	uint64_t hash = UINT64_C(14695981039346656037);

	for (const char *c = f->reg->name; *c; c++)
		hash = (hash ^ (unsigned char)*c) * UINT64_C(1099511628211);
	if (map_get(seen, hash) != MAP_NONE)
		return;
	map_put(seen, hash, 1);
	json_array_append_new(list, json_string_of(f->reg->name));
}

/* A path is named once, as what it is needed for most. */
static void add_paths(struct summary *s, json_t *needs, struct map *mapped, struct map *remapped)
{
	json_t *exes = json_object_get(needs, "executables");
	json_t *libs = json_object_get(needs, "libraries");
	json_t *data = json_object_get(needs, "mapped_files");
	json_t *open = json_object_get(needs, "open_files");
	struct map seen = {0};

	vec_foreach (p, &s->cp->files)
		if ((*p)->reg && map_get(&s->exes, (*p)->id) != MAP_NONE)
			add_once(exes, &seen, *p);
	for (size_t code = MAPPED_CODE; code >= MAPPED_DATA; code--)
		vec_foreach (p, &s->cp->files)
			if ((*p)->reg && map_get(mapped, (*p)->id) == code &&
			    map_get(remapped, (*p)->id) == MAP_NONE)
				add_once(code == MAPPED_CODE ? libs : data, &seen, *p);
	vec_foreach (p, &s->cp->files)
		if ((*p)->reg && map_get(&s->file_users, (*p)->id) != MAP_NONE &&
		    map_get(remapped, (*p)->id) == MAP_NONE)
			add_once(open, &seen, *p);
	map_done(&seen);
}

static void add_external(json_t *needs, const char *what, const char *key)
{
	json_array_append_new(json_object_get(needs, "external"),
			      json_pack("{ss so}", "what", what, "key", json_string_of(key)));
}

static void add_external_mounts(struct summary *s, json_t *needs, uint32_t mnt_ns)
{
	auto_img_reader struct img_reader *r = NULL;
	struct err err = ERR_INIT;
	MntEntry *e;
	int got = img_open(&s->cp->dir, IMG_MNTS, mnt_ns, &r, &err);

	while (got >= 0 && (got = img_get(r, s->scratch, &e, &err)) > 0)
		if (e->ext_mount || e->ext_key)
			add_external(needs, "mount", e->ext_key ? e->ext_key : e->mountpoint);
	if (got < 0)
		summary_problem(s, &err);
}

static void add_externals(struct summary *s, json_t *needs)
{
	struct map namespaces = {0};

	vec_foreach (p, &s->cp->files) {
		if ((*p)->reg && (*p)->reg->ext)
			add_external(needs, "file", (*p)->reg->name);
		else if ((*p)->ext)
			add_external(needs, "file", "of a plugin");
		if ((*p)->usk && (*p)->usk->uflags & 1)
			summary_option(s, "--ext-unix-sk", "a unix socket's peer is outside");
	}
	vec_foreach (t, &s->cp->tasks) {
		uint32_t ns = t->ids && t->ids->has_mnt_ns_id ? t->ids->mnt_ns_id : 0;

		if (!ns || map_get(&namespaces, ns) != MAP_NONE)
			continue;
		map_put(&namespaces, ns, 1);
		add_external_mounts(s, needs, ns);
	}
	map_done(&namespaces);
}

static void note_locks(struct summary *s)
{
	auto_img_reader struct img_reader *r = NULL;
	struct err err = ERR_INIT;
	FileLockEntry *e;
	int got = img_open(&s->cp->dir, IMG_FILELOCKS, 0, &r, &err);

	if (got >= 0)
		got = img_get(r, s->scratch, &e, &err);
	if (got > 0)
		summary_option(s, "--file-locks", "files are locked");
	else if (got < 0)
		summary_problem(s, &err);
}

void summary_needs(struct summary *s)
{
	json_t *needs = json_pack("{s[] s[] s[] s[] s[]}", "executables", "libraries",
				  "mapped_files", "open_files", "external");
	struct map mapped = {0}, remapped = {0};

	json_object_set_new(s->out, "needs", needs);
	vec_foreach (t, &s->cp->tasks)
		if (t->mm)
			note_mappings(t->mm, &mapped);
	note_remapped(s, &remapped);
	add_paths(s, needs, &mapped, &remapped);
	add_externals(s, needs);
	note_locks(s);
	if (s->cp->inventory->tcp_close)
		summary_option(s, "--tcp-close", "TCP connections were dumped as closed ones");
	map_done(&mapped);
	map_done(&remapped);
}
