/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ids of the kernel objects that tasks share: address space, descriptor table, file system
 * context, signal handlers (told apart by kcmp) and namespaces (by inode of /proc/PID/ns/...).
 * Ids of one kind start at 1, which is torpor's own; ns ids are one space over all kinds.
 * Format facts: ../shared/formats/IMAGES.md sections 3 and 4.3.
 */
#pragma once

#include "image/image.h"
#include "image/inventory.h"
#include "remote/seize.h"

enum ns_kind { NS_PID, NS_NET, NS_IPC, NS_UTS, NS_TIME, NS_MNT, NS_USER, NS_CGROUP, NS_KIND_MAX };

struct task_ids {
	uint32_t vm, files, fs, sighand;
	uint32_t ns[NS_KIND_MAX]; /* 0: this kernel has no such namespace */
};

struct ids;
/* Registers torpor itself. */
MUST_USE int ids_new(struct ids **ret, struct err *err);
void ids_free(struct ids *ids);
const struct task_ids *ids_own(const struct ids *ids);
/*
 * A live process. Refused: memory, handlers or file system context shared with another process
 * of the dump, and namespaces other than torpor's own (but time's).
 */
MUST_USE int ids_of(struct ids *ids, const struct target *t, struct task_ids *ret, struct err *err);
/* torpor's own ids, for the inventory: what isn't equal to them was dumped. */
MUST_USE int ids_write_inventory(const struct ids *ids, const struct img_dir *dir,
				 const struct inventory_chain *chain, struct err *err);
MUST_USE int ids_write(const struct img_dir *dir, uint32_t vpid, const struct task_ids *ids,
		       struct err *err);
