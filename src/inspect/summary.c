/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A checkpoint in short, as JSON: what was frozen, when and where, how much memory of which kind,
 * files, what a restore will need, sizes, statistics, the chain. The caller renders it.
 */
#include "inspect/summary.h"

#include "base/auto.h"
#include "image/schema/stats.pb-c.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

/* ------------------------------------------------------- for all its parts */

void summary_problem(struct summary *s, struct err *err)
{
	json_array_append_new(s->problems, json_string_of(err->text));
	*err = ERR_INIT;
}

void summary_option(struct summary *s, const char *option, const char *why)
{
	if (!json_object_get(s->options, option))
		json_object_set_new(s->options, option, json_string_of(why));
}

/* ----------------------------------------------------------- when and where */

static void describe_time(struct summary *s, json_t *to)
{
	const InventoryEntry *e = s->cp->inventory;
	struct stat st;

	if (e->has_dump_time) {
		json_object_set_new(to, "time", json_integer((json_int_t)e->dump_time));
		json_object_set_new(to, "time_exact", json_true());
	} else if (fstatat(s->cp->dir.fd, "inventory.img", &st, 0) == 0) {
		/* Good enough, if the images weren't copied since. */
		json_object_set_new(to, "time", json_integer(st.st_mtime));
		json_object_set_new(to, "time_exact", json_false());
	}
}

static void describe_dump(struct summary *s)
{
	const InventoryEntry *e = s->cp->inventory;
	json_t *to = json_object();

	json_object_set_new(s->out, "dumped", to);
	describe_time(s, to);
	if (e->kernel)
		json_object_set_new(to, "kernel", json_string_of(e->kernel));
	if (e->cpu)
		json_object_set_new(to, "cpu", json_string_of(e->cpu));
	if (e->has_dump_uptime)
		json_object_set_new(to, "uptime_us", json_integer((json_int_t)e->dump_uptime));
	json_object_set_new(to, "image_version", json_integer(e->img_version));
	if (e->dump_criu_run_id)
		json_object_set_new(to, "run_id", json_string_of(e->dump_criu_run_id));
}

static void describe_stats(struct summary *s)
{
	struct err err = ERR_INIT;
	StatsEntry *e;
	int got = img_read_opt(&s->cp->dir, IMG_STATS_DUMP, 0, s->scratch, &e, &err);
	const DumpStatsEntry *d = got > 0 ? e->dump : NULL;
	json_t *to;

	if (got < 0)
		summary_problem(s, &err);
	if (!d)
		return;
	to = json_pack("{sI sI sI sI sI sI sI sI}", "freezing_us", (json_int_t)d->freezing_time,
		       "frozen_us", (json_int_t)d->frozen_time, "memdump_us",
		       (json_int_t)d->memdump_time, "memwrite_us", (json_int_t)d->memwrite_time,
		       "pages_scanned", (json_int_t)d->pages_scanned, "pages_skipped_parent",
		       (json_int_t)d->pages_skipped_parent, "pages_written",
		       (json_int_t)d->pages_written, "pages_lazy", (json_int_t)d->pages_lazy);
	if (d->has_shpages_written)
		json_object_set_new(to, "shared_pages_written",
				    json_integer((json_int_t)d->shpages_written));
	json_object_set_new(s->out, "stats", to);
}

/* Pages that each level has by itself, of what level 0 still needs or not. */
static void describe_chain(struct summary *s)
{
	json_t *levels = json_array();
	struct err err = ERR_INIT;
	struct page_store *store;

	json_object_set_new(s->out, "chain", levels);
	if (checkpoint_store(s->cp, &store, &err) < 0) {
		summary_problem(s, &err);
		return;
	}
	for (size_t i = 0; i < page_store_depth(store); i++)
		json_array_append_new(levels, json_string_of(page_store_path(store, i)));
}

/* -------------------------------------------------------------- everything */

static void describe_checkpoint(struct summary *s)
{
	json_object_set_new(s->out, "kind", json_string(s->cp->pre_dump ? "pre-dump" : "dump"));
	describe_dump(s);
	describe_chain(s);
	summary_tasks(s);
	if (!s->cp->pre_dump) {
		summary_files(s);
		summary_needs(s);
	}
	describe_stats(s);
}

static int describe(struct summary *s, struct torpor_image *ti, const char *dir, struct err *err)
{
	auto_close int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct err why;

	if (fd < 0)
		return err_sys(err, -errno, "images directory %s", dir);
	json_object_set_new(s->out, "dir", json_string_of(dir));
	if (torpor_checkpoint_open(ti, dir, &s->cp) < 0) {
		why = ti->err;
		s->cp = NULL;
		summary_problem(s, &why);
	} else {
		describe_checkpoint(s);
	}
	summary_images(s, fd);
	*err = ERR_INIT;
	return 0;
}

int torpor_image_summary(struct torpor_image *ti, const char *dir, char **ret_json)
{
	struct summary s = {.out = json_object(), .scratch = arena_new()};
	struct err *err = context_begin(ti);
	int r;

	s.problems = json_array();
	s.options = json_object();
	r = describe(&s, ti, dir, err);
	json_object_set_new(s.out, "problems", s.problems);
	if (s.cp && !s.cp->pre_dump)
		json_object_set(json_object_get(s.out, "needs"), "options", s.options);
	json_decref(s.options);
	if (r == 0)
		*ret_json = json_dumps(s.out, JSON_COMPACT);
	json_decref(s.out);
	map_done(&s.exes);
	map_done(&s.file_users);
	map_done(&s.shmem_bytes);
	arena_free(s.scratch);
	torpor_checkpoint_close(s.cp);
	return r;
}
