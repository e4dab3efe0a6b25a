/* SPDX-License-Identifier: Apache-2.0 */
/* inventory.img: what is written, and which images are refused for what it says. */
#include "image/inventory.h"

#include "../lib/samples.h"
#include "base/auto.h"
#include "image/schema/core.pb-c.h"
#include "image/schema/inventory.pb-c.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define assert_ok(expr)                                                                            \
	do {                                                                                       \
		if ((expr) < 0)                                                                    \
			fail_msg("%s: %s", #expr, err.text);                                       \
	} while (0)

static void has_what_criu_wants(void **state)
{
	TaskKobjIdsEntry ids = TASK_KOBJ_IDS_ENTRY__INIT;
	struct arena *a = arena_new();
	struct err err = ERR_INIT;
	struct img_dir dir;
	InventoryEntry *e;

	sample_empty_dir(&dir);
	ids.files_id = 1;
	assert_ok(inventory_write(&dir, &ids, &(struct inventory_chain){.run_id = "r"}, &err));
	assert_ok(img_read_one(&dir, IMG_INVENTORY, 0, a, &e, &err));
	assert_int_equal(e->img_version, 2);
	assert_true(e->has_fdinfo_per_id && e->fdinfo_per_id);
	assert_true(e->has_ns_per_id && e->ns_per_id);
	assert_int_equal(e->root_ids->files_id, 1);
	assert_true(e->has_root_cg_set);
	assert_int_equal(e->root_cg_set, 1);
	assert_true(e->has_lsmtype);
	assert_true(e->has_network_lock_method);
	assert_int_equal(e->network_lock_method, 0);
	assert_non_null(e->plugins_entry);
	assert_int_equal(e->plugins_entry->n_plugins, 0);
	assert_string_equal(e->dump_criu_run_id, "r");
	assert_false(e->has_dump_uptime || e->has_pre_dump_mode || e->has_tcp_close);
	sample_remove(&dir);
	arena_free(a);
}

static void reads_that_of_criu(void **state)
{
	struct arena *a = arena_new();
	struct err err = ERR_INIT;
	struct inventory inventory;
	struct img_dir dir;

	sample_copy("shell", &dir);
	assert_ok(inventory_read(&dir, a, &inventory, &err));
	assert_int_equal(inventory.root_files_id, 1);
	assert_int_equal(inventory.root_time_ns_id, 5);
	assert_int_equal(inventory.ns_ids[7], 8);
	sample_remove(&dir);
	arena_free(a);
}

static struct err refused(const InventoryEntry *e)
{
	struct arena *a = arena_new();
	struct err err = ERR_INIT;
	struct inventory inventory;
	struct img_dir dir;

	sample_empty_dir(&dir);
	assert_ok(img_write_one(&dir, IMG_INVENTORY, 0, &e->base, &err));
	assert_true(inventory_read(&dir, a, &inventory, &err) < 0);
	sample_remove(&dir);
	arena_free(a);
	return err;
}

static void others_are_refused(void **state)
{
	char *names[] = {(char *)"cuda_plugin", (char *)"amdgpu_plugin"};
	PluginsEntry plugins = PLUGINS_ENTRY__INIT;
	InventoryEntry good = INVENTORY_ENTRY__INIT, e;
	struct err err;

	plugins.n_plugins = 2;
	plugins.plugins = names;
	good.img_version = 2;
	good.has_fdinfo_per_id = good.fdinfo_per_id = true;

	e = good;
	e.img_version = 3;
	assert_non_null(strstr(refused(&e).text, "version 3"));
	e.img_version = 0;
	assert_non_null(strstr(refused(&e).text, "pre-dump"));
	e = good;
	e.fdinfo_per_id = false;
	assert_non_null(strstr(refused(&e).text, "old"));
	e = good;
	e.has_root_cg_set = true;
	assert_non_null(strstr(refused(&e).text, "root_cg_set"));
	e = good;
	e.plugins_entry = &plugins;
	err = refused(&e);
	assert_int_equal(err.kind, ERR_REFUSED);
	assert_non_null(strstr(err.text, "cuda_plugin, amdgpu_plugin"));
}

static void none_is_an_unfinished_dump(void **state)
{
	struct arena *a = arena_new();
	struct err err = ERR_INIT;
	struct inventory inventory;
	struct img_dir dir;

	sample_copy("shell", &dir);
	assert_ok(inventory_remove(&dir, &err));
	assert_ok(inventory_remove(&dir, &err));
	assert_true(inventory_read(&dir, a, &inventory, &err) < 0);
	assert_int_equal(err.kind, ERR_INPUT);
	assert_true(err.hint[0]);
	sample_remove(&dir);
	arena_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(has_what_criu_wants),
		cmocka_unit_test(reads_that_of_criu),
		cmocka_unit_test(others_are_refused),
		cmocka_unit_test(none_is_an_unfinished_dump),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
