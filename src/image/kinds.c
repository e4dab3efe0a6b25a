/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kinds of image files. Magic numbers are frozen: they are what is on disk, here and at CRIU.
 * The ids of ghost files, mapped files and TCP streams are hexadecimal in their names, all others
 * decimal.
 */
#include "image/kinds.h"

#include "image/schema/apparmor.pb-c.h"
#include "image/schema/autofs.pb-c.h"
#include "image/schema/binfmt-misc.pb-c.h"
#include "image/schema/bpfmap-data.pb-c.h"
#include "image/schema/bpfmap-file.pb-c.h"
#include "image/schema/cgroup.pb-c.h"
#include "image/schema/core.pb-c.h"
#include "image/schema/cpuinfo.pb-c.h"
#include "image/schema/fdinfo.pb-c.h"
#include "image/schema/fh.pb-c.h"
#include "image/schema/file-lock.pb-c.h"
#include "image/schema/file-policy.pb-c.h"
#include "image/schema/fs.pb-c.h"
#include "image/schema/ghost-file.pb-c.h"
#include "image/schema/integrity.pb-c.h"
#include "image/schema/inventory.pb-c.h"
#include "image/schema/ipc-msg.pb-c.h"
#include "image/schema/ipc-sem.pb-c.h"
#include "image/schema/ipc-shm.pb-c.h"
#include "image/schema/ipc-var.pb-c.h"
#include "image/schema/memfd.pb-c.h"
#include "image/schema/mm.pb-c.h"
#include "image/schema/mnt.pb-c.h"
#include "image/schema/netdev.pb-c.h"
#include "image/schema/pagemap.pb-c.h"
#include "image/schema/pidns.pb-c.h"
#include "image/schema/pipe-data.pb-c.h"
#include "image/schema/pstree.pb-c.h"
#include "image/schema/remap-file-path.pb-c.h"
#include "image/schema/seccomp.pb-c.h"
#include "image/schema/sk-packet.pb-c.h"
#include "image/schema/stats.pb-c.h"
#include "image/schema/tcp-stream.pb-c.h"
#include "image/schema/timens.pb-c.h"
#include "image/schema/tty.pb-c.h"
#include "image/schema/userns.pb-c.h"
#include "image/schema/utsns.pb-c.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

/* clang-format off */
#define ROW(name, key, magic, type, family) {name, key, magic, &type##__descriptor, family}
#define ONE(name, magic, type)	   ROW(name, IMG_KEY_NONE, magic, type, IMG_FAMILY_COMMON)
#define BY_ID(name, magic, type)   ROW(name, IMG_KEY_DEC, magic, type, IMG_FAMILY_COMMON)
#define BY_HEX(name, magic, type)  ROW(name, IMG_KEY_HEX, magic, type, IMG_FAMILY_COMMON)
#define BARE(name, magic, type)	   ROW(name, IMG_KEY_NONE, magic, type, IMG_FAMILY_BARE)
#define SERVICE(name, magic, type) ROW(name, IMG_KEY_NONE, magic, type, IMG_FAMILY_SERVICE)

static const struct img_row rows[IMG_KIND_MAX] = {
	[IMG_INVENTORY]	    = BARE("inventory", 0x58313116, inventory_entry),
	[IMG_PSTREE]	    = ONE("pstree", 0x50273030, pstree_entry),
	[IMG_IDS]	    = BY_ID("ids", 0x54432030, task_kobj_ids_entry),
	[IMG_CORE]	    = BY_ID("core", 0x55053847, core_entry),
	[IMG_MM]	    = BY_ID("mm", 0x57492820, mm_entry),
	[IMG_FS]	    = BY_ID("fs", 0x51403912, fs_entry),
	[IMG_PAGEMAP]	    = BY_ID("pagemap", 0x56084025, pagemap_head),
	[IMG_PAGEMAP_SHMEM] = BY_ID("pagemap-shmem", 0x56084025, pagemap_head),
	[IMG_FDINFO]	    = BY_ID("fdinfo", 0x56213732, fdinfo_entry),
	[IMG_FILES]	    = ONE("files", 0x56303138, file_entry),
	[IMG_REMAP_FPATH]   = ONE("remap-fpath", 0x59133954, remap_file_path_entry),
	[IMG_GHOST_FILE]    = BY_HEX("ghost-file", 0x52583605, ghost_file_entry),
	[IMG_PIPES_DATA]    = ONE("pipes-data", 0x56453709, pipe_data_entry),
	[IMG_FIFO_DATA]	    = ONE("fifo-data", 0x59333054, pipe_data_entry),
	[IMG_SK_QUEUES]	    = ONE("sk-queues", 0x56264026, sk_packet_entry),
	[IMG_TCP_STREAM]    = BY_HEX("tcp-stream", 0x51465506, tcp_stream_entry),
	[IMG_MEMFD]	    = ONE("memfd", 0x48453499, memfd_inode_entry),
	[IMG_BPFMAP_FILE]   = ONE("bpfmap-file", 0x57506142, bpfmap_file_entry),
	[IMG_BPFMAP_DATA]   = ONE("bpfmap-data", 0x64324033, bpfmap_data_entry),
	[IMG_TTY_INFO]	    = ONE("tty-info", 0x59453036, tty_info_entry),
	[IMG_TTY_DATA]	    = ONE("tty-data", 0x59413026, tty_data_entry),
	[IMG_FILELOCKS]	    = ONE("filelocks", 0x54323616, file_lock_entry),
	[IMG_SECCOMP]	    = ONE("seccomp", 0x64413049, seccomp_entry),
	[IMG_APPARMOR]	    = ONE("apparmor", 0x59423047, apparmor_entry),
	[IMG_CGROUP]	    = ONE("cgroup", 0x59383330, cgroup_entry),
	[IMG_CPUINFO]	    = ONE("cpuinfo", 0x61404013, cpuinfo_entry),
	[IMG_MNTS]	    = BY_ID("mountpoints", 0x55563928, mnt_entry),
	[IMG_UTSNS]	    = BY_ID("utsns", 0x54473203, utsns_entry),
	[IMG_USERNS]	    = BY_ID("userns", 0x55474906, userns_entry),
	[IMG_TIMENS]	    = BY_ID("timens", 0x43114433, timens_entry),
	[IMG_PIDNS]	    = BY_ID("pidns", 0x61157326, pidns_entry),
	[IMG_IPCNS_VAR]	    = BY_ID("ipcns-var", 0x53115007, ipc_var_entry),
	[IMG_IPCNS_SHM]	    = BY_ID("ipcns-shm", 0x46283044, ipc_shm_entry),
	[IMG_IPCNS_MSG]	    = BY_ID("ipcns-msg", 0x55453737, ipc_msg_entry),
	[IMG_IPCNS_SEM]	    = BY_ID("ipcns-sem", 0x59573019, ipc_sem_entry),
	[IMG_NETDEV]	    = BY_ID("netdev", 0x57373951, net_device_entry),
	[IMG_NETNS]	    = BY_ID("netns", 0x55933752, netns_entry),
	[IMG_AUTOFS]	    = BY_ID("autofs", 0x49353943, autofs_entry),
	[IMG_BINFMT_MISC]   = ONE("binfmt-misc", 0x67343323, binfmt_misc_entry),
	[IMG_STATS_DUMP]    = SERVICE("stats-dump", 0x57093306, stats_entry),
	[IMG_STATS_RESTORE] = SERVICE("stats-restore", 0x57093306, stats_entry),
	[IMG_IRMAP_CACHE]   = SERVICE("irmap-cache", 0x57004059, irmap_cache_entry),
	[IMG_INTEGRITY]	    = ONE("integrity", 0x534d5553, integrity_entry),
	[IMG_MAPPED_FILE]   = BY_HEX("mapped-file", 0x4d415046, ghost_file_entry),
	[IMG_FILE_POLICY]   = ONE("file-policy", 0x504f4c49, file_policy_entry),
};
/* clang-format on */

const struct img_row *img_row(enum img_kind kind)
{
	assert(kind < IMG_KIND_MAX);
	return &rows[kind];
}

int img_dirfd(const struct img_dir *dir, enum img_kind kind)
{
	return img_row(kind)->family == IMG_FAMILY_SERVICE ? dir->work_fd : dir->fd;
}

void img_name(enum img_kind kind, uint64_t id, char name[IMG_NAME_MAX])
{
	const struct img_row *row = img_row(kind);
	const char *suffix = row->family == IMG_FAMILY_SERVICE ? "" : ".img";

	switch (row->key) {
	case IMG_KEY_NONE:
		snprintf(name, IMG_NAME_MAX, "%s%s", row->name, suffix);
		break;
	case IMG_KEY_DEC:
		snprintf(name, IMG_NAME_MAX, "%s-%" PRIu64 "%s", row->name, id, suffix);
		break;
	case IMG_KEY_HEX:
		snprintf(name, IMG_NAME_MAX, "%s-%" PRIx64 "%s", row->name, id, suffix);
		break;
	}
}
