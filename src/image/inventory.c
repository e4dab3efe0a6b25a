/* SPDX-License-Identifier: Apache-2.0 */
#include "image/inventory.h"

#include "base/auto.h"
#include "base/io.h"
#include "base/parse.h"
#include "image/schema/core.pb-c.h"
#include "image/schema/inventory.pb-c.h"
#include "image/sums.h"

#include <fcntl.h>
#include <string.h>
#include <sys/random.h>
#include <sys/utsname.h>
#include <time.h>

#define IMG_VERSION_1 1 /* old headers */
#define IMG_VERSION_2 2
/* Version 2 with `features`, each of which a reader must know. */
#define IMG_VERSION_FEATURES 0x10002

#define FEATURE_COW "cow"

/* What torpor writes there; there is one engine. */
#define PRE_DUMP_MODE_READ 2

int inventory_remove(const struct img_dir *dir, struct err *err)
{
	if (unlinkat(dir->fd, "inventory.img", 0) < 0 && errno != ENOENT)
		return err_sys(err, -errno, "inventory.img: remove the old one");
	return img_sums_remove(dir, err);
}

int inventory_make_run_id(char out[37], struct err *err)
{
	uint8_t b[16];

	if (getrandom(b, sizeof(b), 0) != sizeof(b))
		return err_sys(err, -errno, "getrandom");
	b[6] = (b[6] & 0x0f) | 0x40;
	b[8] = (b[8] & 0x3f) | 0x80;
	snprintf(out, 37, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x",
		 b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12],
		 b[13], b[14], b[15]);
	return 0;
}

static Lsmtype active_lsm(void)
{
	if (access("/sys/kernel/security/apparmor", F_OK) == 0)
		return LSMTYPE__APPARMOR;
	if (access("/sys/fs/selinux/enforce", F_OK) == 0)
		return LSMTYPE__SELINUX;
	return LSMTYPE__NO_LSM;
}

static void fill_chain(InventoryEntry *e, const struct inventory_chain *c)
{
	static char cow[] = FEATURE_COW, *features[] = {cow};

	e->dump_criu_run_id = c->run_id[0] ? (char *)c->run_id : NULL;
	e->parent_run_id = c->parent_run_id[0] ? (char *)c->parent_run_id : NULL;
	e->has_dump_uptime = c->uptime_us != 0;
	e->dump_uptime = c->uptime_us;
	e->n_features = c->cow;
	e->features = features;
}

/* What /proc/cpuinfo calls the first CPU; "" if it doesn't say. */
static void read_cpu_model(char *buf, size_t size)
{
	auto_fclose FILE *f = fopen("/proc/cpuinfo", "re");
	char line[256];

	buf[0] = 0;
	while (f && fgets(line, sizeof(line), f)) {
		const char *value = str_after(line, "model name");

		if (!value || !(value = strchr(value, ':')))
			continue;
		str_copy(buf, size, value + 1 + strspn(value + 1, " \t"));
		buf[strcspn(buf, "\n")] = 0;
		return;
	}
}

/* For people who look at the images later: nothing depends on it. */
struct origin {
	struct utsname uts;
	char cpu[128];
};

static void fill_origin(InventoryEntry *e, struct origin *o)
{
	time_t now = time(NULL);

	read_cpu_model(o->cpu, sizeof(o->cpu));
	e->cpu = o->cpu[0] ? o->cpu : NULL;
	e->kernel = uname(&o->uts) == 0 ? o->uts.release : NULL;
	e->has_dump_time = now > 0;
	e->dump_time = (uint64_t)now;
}

int inventory_write_pre_dump(const struct img_dir *dir, const struct inventory_chain *chain,
			     struct err *err)
{
	InventoryEntry e = INVENTORY_ENTRY__INIT;
	PluginsEntry plugins = PLUGINS_ENTRY__INIT;
	struct origin origin;

	fill_chain(&e, chain);
	fill_origin(&e, &origin);
	e.has_pre_dump_mode = true;
	e.pre_dump_mode = PRE_DUMP_MODE_READ;
	e.plugins_entry = &plugins;
	return img_write_one(dir, IMG_INVENTORY, 0, &e.base, err);
}

int inventory_write(const struct img_dir *dir, TaskKobjIdsEntry *root_ids,
		    const struct inventory_chain *chain, struct err *err)
{
	InventoryEntry e = INVENTORY_ENTRY__INIT;
	PluginsEntry plugins = PLUGINS_ENTRY__INIT;
	struct origin origin;

	fill_chain(&e, chain);
	fill_origin(&e, &origin);
	e.img_version = chain->cow ? IMG_VERSION_FEATURES : IMG_VERSION_2;
	e.has_fdinfo_per_id = e.fdinfo_per_id = true;
	e.root_ids = root_ids;
	e.has_ns_per_id = e.ns_per_id = true;
	e.has_root_cg_set = true;
	e.root_cg_set = 1;
	e.has_lsmtype = true;
	e.lsmtype = active_lsm();
	e.has_network_lock_method = true;
	e.network_lock_method = 0;
	e.plugins_entry = &plugins;
	return img_write_one(dir, IMG_INVENTORY, 0, &e.base, err);
}

static int check_features(const InventoryEntry *e, struct err *err)
{
	for (size_t i = 0; i < e->n_features; i++) {
		if (strcmp(e->features[i], FEATURE_COW) == 0)
			continue;
		err_input(err, "inventory.img: these images use '%s', which is unknown",
			  e->features[i]);
		return err_hint(err, "use the version of torpor that made these images");
	}
	return 0;
}

static int check_version(const InventoryEntry *e, struct err *err)
{
	TRY(check_features(e, err));
	if (e->img_version == IMG_VERSION_1 || e->img_version == IMG_VERSION_2 ||
	    e->img_version == IMG_VERSION_FEATURES)
		return 0;
	if (!e->img_version) {
		err_input(err, "inventory.img: these are the images of a pre-dump");
		return err_hint(err, "restore from the directory of the dump that followed it");
	}
	err_input(err, "inventory.img: image version %u is unknown", e->img_version);
	return err_hint(err, "use the version of torpor that made these images");
}

/* A plugin that took part in the dump has left files that only it can read. */
static int check_plugins(const InventoryEntry *e, struct arena *a, struct err *err)
{
	const char *names = "";

	if (!e->plugins_entry || !e->plugins_entry->n_plugins)
		return 0;
	for (size_t i = 0; i < e->plugins_entry->n_plugins; i++)
		names = arena_printf(a, "%s%s%s", names, i ? ", " : "",
				     e->plugins_entry->plugins[i]);
	return err_refuse(err, "dump without the devices that need them",
			  "inventory.img: these images need plugins that torpor doesn't have: %s",
			  names);
}

static int take_run_id(const char *from, char to[37], struct err *err)
{
	if (from && strlen(from) > 36)
		return err_input(err, "inventory.img: '%s' isn't the id of a run", from);
	snprintf(to, 37, "%s", from ? from : "");
	return 0;
}

static int take_chain(const InventoryEntry *e, struct inventory_chain *ret, struct err *err)
{
	*ret = (struct inventory_chain){
		.uptime_us = e->has_dump_uptime ? e->dump_uptime : 0,
		.pre_dump = e->img_version == 0,
	};
	for (size_t i = 0; i < e->n_features; i++)
		ret->cow |= strcmp(e->features[i], FEATURE_COW) == 0;
	TRY(check_features(e, err));
	TRY(take_run_id(e->dump_criu_run_id, ret->run_id, err));
	return take_run_id(e->parent_run_id, ret->parent_run_id, err);
}

int inventory_read_chain(const struct img_dir *dir, struct inventory_chain *ret, struct err *err)
{
	struct arena *a = arena_new();
	InventoryEntry *e;
	int got = img_read_opt(dir, IMG_INVENTORY, 0, a, &e, err);

	if (got > 0 && take_chain(e, ret, err) < 0)
		got = err->code;
	arena_free(a);
	return got;
}

static void take_ids(const TaskKobjIdsEntry *ids, struct inventory *ret)
{
	const uint32_t ns[] = {
		ids->pid_ns_id,	 ids->net_ns_id, ids->ipc_ns_id,  ids->uts_ns_id,
		ids->time_ns_id, ids->mnt_ns_id, ids->user_ns_id, ids->cgroup_ns_id,
	};

	memcpy(ret->ns_ids, ns, sizeof(ns));
	ret->root_time_ns_id = ids->has_time_ns_id ? ids->time_ns_id : 0;
	ret->root_files_id = ids->files_id;
}

int inventory_read(const struct img_dir *dir, struct arena *a, struct inventory *ret,
		   struct err *err)
{
	InventoryEntry *e;
	int got = img_read_opt(dir, IMG_INVENTORY, 0, a, &e, err);

	*ret = (struct inventory){0};
	if (got == 0) {
		err_input(err, "%s: there is no inventory.img", dir->path);
		return err_hint(err, "name the images directory with -D; a dump that failed or was "
				     "killed leaves none");
	}
	TRY(got);
	TRY(check_version(e, err));
	TRY(check_plugins(e, a, err));
	if (!e->has_fdinfo_per_id || !e->fdinfo_per_id)
		return err_input(err, "inventory.img: the images are too old (no fdinfo per id)");
	if (e->allow_uprobes)
		return err_refuse(
			err, "end the tracing of the program before the dump",
			"inventory.img: allow_uprobes: the program was dumped with uprobes, "
			"which isn't supported");
	if (e->has_root_cg_set && !e->root_cg_set)
		return err_input(err, "inventory.img: root_cg_set: 0");
	if (e->root_ids)
		take_ids(e->root_ids, ret);
	return 0;
}
