/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A page may be left to the parent only if the trackers were restarted when the parent was made, by
 * the run that made it: the keeper's run id and that of the parent's inventory have to be equal.
 * Everything else (no keeper, another one, a parent that isn't complete) makes a full dump, and a
 * line in the log that says why.
 */
#include "engine/chain.h"

#include "base/auto.h"
#include "base/io.h"
#include "base/log.h"
#include "base/parse.h"
#include "image/parent.h"
#include "image/sums.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

static const char *const no_tracker =
	"it takes Linux 6.7 with CONFIG_USERFAULTFD, or CONFIG_MEM_SOFT_DIRTY (torpor check "
	"--feature mem_dirty_track)";

int chain_choose_tracker(const struct options *o, enum tracker_kind *ret, struct err *err)
{
	static const enum tracker_kind wished[] = {
		[TRACK_BY_UFFD_WP] = TRACKER_UFFD_WP,
		[TRACK_BY_SOFT_DIRTY] = TRACKER_SOFT_DIRTY,
	};

	*ret = TRACKER_NONE;
	if (!o->track_mem && o->verb != VERB_PRE_DUMP)
		return 0;
	*ret = o->tracker == TRACK_BY_AUTO ? tracker_best() : wished[o->tracker];
	if (o->tracker != TRACK_BY_AUTO && !tracker_works(*ret)) {
		err_kernel(err, "--tracker %s: this kernel doesn't have it", tracker_name(*ret));
		return err_hint(err, "leave the option out, or see %s", no_tracker);
	}
	if (*ret) {
		log_info("written pages are told by %s", tracker_name(*ret));
	} else if (o->track_mem) {
		err_kernel(err, "--track-mem: this kernel doesn't tell which pages are written");
		return err_hint(err, "%s", no_tracker);
	} else {
		log_warn("this kernel doesn't tell which pages are written: the next dump will be "
			 "a full one; %s",
			 no_tracker);
	}
	return 0;
}

/* -------------------------------------------------------------- beginning */

static uint64_t uptime_us(void)
{
	auto_free char *text = NULL;
	const char *p;
	uint64_t seconds = 0, hundredths = 0;

	if (io_read_file(AT_FDCWD, "/proc/uptime", &text, NULL) < 0)
		return 0;
	p = text;
	if (!scan_u64(&p, 10, &seconds) || *p++ != '.' || !scan_u64(&p, 10, &hundredths))
		return seconds * 1000000;
	return seconds * 1000000 + hundredths * 10000;
}

/* Why the parent can't be built on; NULL if it can. */
static const char *why_full(const struct chain *c, const struct inventory_chain *parent)
{
	const struct keeper *k = &c->keeper;

	if (!k->pid)
		return "no keeper process knows what was written since";
	if (!parent->run_id[0] || strcmp(k->run_id, parent->run_id) != 0)
		return "they aren't what the tracker knows";
	if (k->kind != c->kind)
		return "another tracker is to be used";
	return NULL;
}

static bool has_parent(const struct img_dir *dir)
{
	struct stat st;

	return fstatat(dir->fd, PARENT_LINK, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

/* Opens what the link leads to. 1; or 0, having said why not. */
static int open_parent(struct chain *c, struct inventory_chain *ret)
{
	struct err why = ERR_INIT;
	int r;

	c->parent_dir.fd = openat(c->dir->fd, PARENT_LINK, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (c->parent_dir.fd < 0) {
		if (has_parent(c->dir))
			log_warn("%s/" PARENT_LINK " leads to nothing: a full dump", c->dir->path);
		return 0;
	}
	c->parent_dir.work_fd = c->parent_dir.fd;
	c->parent_dir.path = PARENT_LINK;
	c->parent_dir.sums = img_sums_new();
	r = inventory_read_chain(&c->parent_dir, ret, &why);
	if (r == 0) {
		log_warn("%s/" PARENT_LINK ": there is no inventory.img, these images are those of "
			 "a dump that didn't end: a full dump",
			 c->dir->path);
		return 0;
	}
	if (r > 0 && c->o->compat_images && ret->cow) {
		log_warn("%s/" PARENT_LINK ": these images have shared pages in torpor's own form, "
			 "which --image-compat=criu can't build on: a full dump",
			 c->dir->path);
		return 0;
	}
	if (r > 0)
		r = page_store_open(&c->parent_dir, &c->parent, &why);
	if (r < 0)
		log_warn("%s/" PARENT_LINK ": %s: a full dump", c->dir->path, why.text);
	return r >= 0;
}

/* Images that need no others must not be refused for those. */
static void drop_link(const struct chain *c)
{
	if (has_parent(c->dir) && unlinkat(c->dir->fd, PARENT_LINK, 0) < 0)
		log_warn("%s/" PARENT_LINK ": remove it before a restore: %s", c->dir->path,
			 strerror(errno));
}

static void look_at_parent(struct chain *c)
{
	struct inventory_chain parent = {0};
	const char *why;

	if (!open_parent(c, &parent)) {
		drop_link(c);
		if (c->keeper.pid)
			log_info("the tracker knows what was written since run %s, which isn't "
				 "built on",
				 c->keeper.run_id);
		return;
	}
	why = why_full(c, &parent);
	c->incremental = !why;
	memcpy(c->self.parent_run_id, parent.run_id, sizeof(c->self.parent_run_id));
	c->self.cow = c->incremental && parent.cow;
	if (why)
		log_warn("the parent images (run %s) can't be built on, %s%s%s: all private memory "
			 "is written",
			 parent.run_id[0] ? parent.run_id : "unknown", why,
			 c->keeper.pid ? "; it knows run " : "", c->keeper.run_id);
	else
		log_info("only what was written since run %s", parent.run_id);
}

/* Trackers of the wrong kind are of no use. */
static void take_keeper(struct chain *c)
{
	struct keeper *k = &c->keeper;

	if (!k->pid)
		return;
	log_info("keeper %d: %zu processes, by %s, since run %s", k->pid, k->trackers.len,
		 tracker_name(k->kind), k->run_id);
	keeper_end(k);
	if (c->kind && k->kind == c->kind)
		return;
	vec_foreach (t, &k->trackers)
		tracker_free(*t);
	k->trackers.len = 0;
}

int chain_begin(struct chain *c, const struct options *o, const struct img_dir *dir,
		enum tracker_kind kind, struct err *err)
{
	*c = (struct chain){
		.o = o,
		.dir = dir,
		.kind = kind,
		.parent_dir = {.fd = -EBADF},
		.self.uptime_us = uptime_us(),
	};
	memcpy(c->self.run_id, o->run_id, sizeof(c->self.run_id));
	if (!c->self.run_id[0])
		TRY(inventory_make_run_id(c->self.run_id, err));
	if (o->prev_images_dir)
		TRY(parent_link(dir, o->prev_images_dir, err));
	if (!kind && !has_parent(dir)) /* nobody asks */
		return 0;
	TRY(keeper_find(o->pid, &c->keeper, err));
	if (c->keeper.pid && o->tracker == TRACK_BY_AUTO)
		c->kind = c->keeper.kind;
	look_at_parent(c);
	take_keeper(c);
	return 0;
}

/* ---------------------------------------------------------------- trackers */

struct page_store *chain_memory_parent(const struct chain *c)
{
	return c->incremental ? c->parent : NULL;
}

struct tracker *chain_tracker(const struct chain *c, const struct target *t)
{
	return keeper_tracker(&c->keeper, t);
}

/* It may have had one: of the address space that it had before execve(). */
void chain_add_tracker(struct chain *c, struct tracker *tr)
{
	vec_foreach (old, &c->keeper.trackers) {
		if ((*old)->pid != tr->pid)
			continue;
		tracker_free(*old);
		*old = tr;
		return;
	}
	*vec_push(&c->keeper.trackers) = tr;
}

void chain_select(struct chain *c, struct target **targets, size_t n)
{
	struct keeper *k = &c->keeper;
	size_t left = 0;

	vec_foreach (tr, &k->trackers) {
		bool known = false;

		for (size_t i = 0; i < n && !known; i++)
			known = targets[i]->pid == (*tr)->pid &&
				chain_tracker(c, targets[i]) == *tr;
		if (known)
			k->trackers.data[left++] = *tr;
		else
			tracker_free(*tr);
	}
	k->trackers.len = left;
	str_copy(k->root_comm, sizeof(k->root_comm), targets[0]->comm);
}

/* ------------------------------------------------------------------- end */

static void start_keeper(struct keeper *k)
{
	struct err why = ERR_INIT;

	if (!k->trackers.len)
		return;
	if (keeper_start(k, &why) < 0)
		log_warn("the next dump will be a full one: %s", why.text);
	else if (k->pid)
		log_info("keeper %d: %zu processes, by %s, since run %s", k->pid, k->trackers.len,
			 tracker_name(k->kind), k->run_id);
}

void chain_keep(struct chain *c)
{
	struct keeper *k = &c->keeper;

	k->root = c->o->pid;
	k->kind = c->kind;
	memcpy(k->run_id, c->self.run_id, sizeof(k->run_id));
	start_keeper(k);
}

void chain_put_back(struct chain *c)
{
	start_keeper(&c->keeper);
}

void chain_done(struct chain *c)
{
	page_store_close(c->parent);
	img_sums_free(c->parent_dir.sums);
	fd_close(c->parent_dir.fd);
	keeper_done(&c->keeper);
}
