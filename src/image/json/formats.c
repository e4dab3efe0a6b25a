/* SPDX-License-Identifier: Apache-2.0 */
#include "image/json/formats.h"

#include "base/auto.h"
#include "image/schema/apparmor.pb-c.h"
#include "image/schema/autofs.pb-c.h"
#include "image/schema/binfmt-misc.pb-c.h"
#include "image/schema/bpfmap-data.pb-c.h"
#include "image/schema/bpfmap-file.pb-c.h"
#include "image/schema/cgroup.pb-c.h"
#include "image/schema/core.pb-c.h"
#include "image/schema/cpuinfo.pb-c.h"
#include "image/schema/creds.pb-c.h"
#include "image/schema/eventfd.pb-c.h"
#include "image/schema/eventpoll.pb-c.h"
#include "image/schema/ext-file.pb-c.h"
#include "image/schema/fdinfo.pb-c.h"
#include "image/schema/fh.pb-c.h"
#include "image/schema/fifo.pb-c.h"
#include "image/schema/file-lock.pb-c.h"
#include "image/schema/file-policy.pb-c.h"
#include "image/schema/fs.pb-c.h"
#include "image/schema/fsnotify.pb-c.h"
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
#include "image/schema/ns.pb-c.h"
#include "image/schema/packet-sock.pb-c.h"
#include "image/schema/pagemap.pb-c.h"
#include "image/schema/pidfd.pb-c.h"
#include "image/schema/pidns.pb-c.h"
#include "image/schema/pipe-data.pb-c.h"
#include "image/schema/pipe.pb-c.h"
#include "image/schema/pstree.pb-c.h"
#include "image/schema/regfile.pb-c.h"
#include "image/schema/remap-file-path.pb-c.h"
#include "image/schema/rlimit.pb-c.h"
#include "image/schema/sa.pb-c.h"
#include "image/schema/seccomp.pb-c.h"
#include "image/schema/siginfo.pb-c.h"
#include "image/schema/signalfd.pb-c.h"
#include "image/schema/sk-inet.pb-c.h"
#include "image/schema/sk-netlink.pb-c.h"
#include "image/schema/sk-packet.pb-c.h"
#include "image/schema/sk-unix.pb-c.h"
#include "image/schema/stats.pb-c.h"
#include "image/schema/tcp-stream.pb-c.h"
#include "image/schema/timens.pb-c.h"
#include "image/schema/timer.pb-c.h"
#include "image/schema/timerfd.pb-c.h"
#include "image/schema/tty.pb-c.h"
#include "image/schema/tun.pb-c.h"
#include "image/schema/userns.pb-c.h"
#include "image/schema/utsns.pb-c.h"
#include "image/schema/vma.pb-c.h"

#include <string.h>

/* clang-format off */
#define PLAIN(name, magic, type) {name, magic, &type##__descriptor, NULL, PAYLOAD_NONE, HEAD_COMMON}

static const struct format formats[] = {
	{"INVENTORY", 0x58313116, &inventory_entry__descriptor, NULL, PAYLOAD_NONE, HEAD_BARE},
	PLAIN("CORE", 0x55053847, core_entry),
	PLAIN("IDS", 0x54432030, task_kobj_ids_entry),
	PLAIN("CREDS", 0x54023547, creds_entry),
	PLAIN("UTSNS", 0x54473203, utsns_entry),
	PLAIN("TIMENS", 0x43114433, timens_entry),
	PLAIN("PIDNS", 0x61157326, pidns_entry),
	PLAIN("IPC_VAR", 0x53115007, ipc_var_entry),
	PLAIN("FS", 0x51403912, fs_entry),
	{"GHOST_FILE", 0x52583605, &ghost_file_entry__descriptor, &ghost_chunk_entry__descriptor, PAYLOAD_GHOST, HEAD_COMMON},
	PLAIN("MM", 0x57492820, mm_entry),
	PLAIN("CGROUP", 0x59383330, cgroup_entry),
	{"TCP_STREAM", 0x51465506, &tcp_stream_entry__descriptor, NULL, PAYLOAD_TCP_STREAM, HEAD_COMMON},
	{"STATS", 0x57093306, &stats_entry__descriptor, NULL, PAYLOAD_NONE, HEAD_SERVICE},
	{"PAGEMAP", 0x56084025, &pagemap_head__descriptor, &pagemap_entry__descriptor, PAYLOAD_NONE, HEAD_COMMON},
	PLAIN("PSTREE", 0x50273030, pstree_entry),
	PLAIN("REG_FILES", 0x50363636, reg_file_entry),
	PLAIN("NS_FILES", 0x61394011, ns_file_entry),
	PLAIN("EVENTFD_FILE", 0x44523722, eventfd_file_entry),
	PLAIN("EVENTPOLL_FILE", 0x45023858, eventpoll_file_entry),
	PLAIN("EVENTPOLL_TFD", 0x44433746, eventpoll_tfd_entry),
	PLAIN("SIGNALFD", 0x57323820, signalfd_entry),
	PLAIN("TIMERFD", 0x50493712, timerfd_entry),
	PLAIN("INOTIFY_FILE", 0x48424431, inotify_file_entry),
	PLAIN("INOTIFY_WD", 0x54562009, inotify_wd_entry),
	PLAIN("FANOTIFY_FILE", 0x55096122, fanotify_file_entry),
	PLAIN("FANOTIFY_MARK", 0x56506035, fanotify_mark_entry),
	PLAIN("VMAS", 0x54123737, vma_entry),
	PLAIN("PIPES", 0x56513555, pipe_entry),
	PLAIN("FIFO", 0x58364939, fifo_entry),
	PLAIN("SIGACT", 0x55344201, sa_entry),
	PLAIN("NETLINK_SK", 0x58005614, netlink_sk_entry),
	PLAIN("REMAP_FPATH", 0x59133954, remap_file_path_entry),
	PLAIN("MNTS", 0x55563928, mnt_entry),
	PLAIN("TTY_FILES", 0x59433025, tty_file_entry),
	PLAIN("TTY_INFO", 0x59453036, tty_info_entry),
	PLAIN("TTY_DATA", 0x59413026, tty_data_entry),
	PLAIN("RLIMIT", 0x57113925, rlimit_entry),
	PLAIN("TUNFILE", 0x57143751, tunfile_entry),
	PLAIN("EXT_FILES", 0x59255641, ext_file_entry),
	{"IRMAP_CACHE", 0x57004059, &irmap_cache_entry__descriptor, NULL, PAYLOAD_NONE, HEAD_SERVICE},
	PLAIN("FILE_LOCKS", 0x54323616, file_lock_entry),
	PLAIN("FDINFO", 0x56213732, fdinfo_entry),
	PLAIN("UNIXSK", 0x54373943, unix_sk_entry),
	PLAIN("INETSK", 0x56443851, inet_sk_entry),
	PLAIN("PACKETSK", 0x60454618, packet_sock_entry),
	PLAIN("ITIMERS", 0x57464056, itimer_entry),
	PLAIN("POSIX_TIMERS", 0x52603957, posix_timer_entry),
	PLAIN("NETDEV", 0x57373951, net_device_entry),
	{"PIPES_DATA", 0x56453709, &pipe_data_entry__descriptor, NULL, PAYLOAD_PIPE, HEAD_COMMON},
	{"FIFO_DATA", 0x59333054, &pipe_data_entry__descriptor, NULL, PAYLOAD_PIPE, HEAD_COMMON},
	{"SK_QUEUES", 0x56264026, &sk_packet_entry__descriptor, NULL, PAYLOAD_SK_QUEUE, HEAD_COMMON},
	{"IPCNS_SHM", 0x46283044, &ipc_shm_entry__descriptor, NULL, PAYLOAD_SHM, HEAD_COMMON},
	{"IPCNS_SEM", 0x59573019, &ipc_sem_entry__descriptor, NULL, PAYLOAD_SEM, HEAD_COMMON},
	{"IPCNS_MSG", 0x55453737, &ipc_msg_entry__descriptor, NULL, PAYLOAD_MSG, HEAD_COMMON},
	PLAIN("NETNS", 0x55933752, netns_entry),
	PLAIN("USERNS", 0x55474906, userns_entry),
	PLAIN("SECCOMP", 0x64413049, seccomp_entry),
	PLAIN("AUTOFS", 0x49353943, autofs_entry),
	PLAIN("FILES", 0x56303138, file_entry),
	PLAIN("CPUINFO", 0x61404013, cpuinfo_entry),
	PLAIN("MEMFD_INODE", 0x48453499, memfd_inode_entry),
	PLAIN("BPFMAP_FILE", 0x57506142, bpfmap_file_entry),
	{"BPFMAP_DATA", 0x64324033, &bpfmap_data_entry__descriptor, NULL, PAYLOAD_BPFMAP, HEAD_COMMON},
	PLAIN("APPARMOR", 0x59423047, apparmor_entry),
	PLAIN("SIGNAL", 0x59255647, siginfo_entry),
	PLAIN("BINFMT_MISC", 0x67343323, binfmt_misc_entry),
	PLAIN("PIDFD", 0x54435556, pidfd_entry),
	/* torpor's own: docs/images.md */
	{"MAPPED_FILE", 0x4d415046, &ghost_file_entry__descriptor, &ghost_chunk_entry__descriptor,
	 PAYLOAD_GHOST, HEAD_COMMON},
	PLAIN("FILE_POLICY", 0x504f4c49, file_policy_entry),
	{"INTEGRITY", 0x534d5553, &integrity_entry__descriptor, NULL, PAYLOAD_INTEGRITY, HEAD_COMMON},
};
/* clang-format on */

static const char *const head_words[] = {
	[HEAD_COMMON] = "common",
	[HEAD_SERVICE] = "service",
	[HEAD_BARE] = "none",
};

const struct format *format_by_magic(uint32_t magic)
{
	for (size_t i = 0; i < ARRAY_SIZE(formats); i++)
		if (formats[i].magic == magic)
			return &formats[i];
	return NULL;
}

const struct format *format_by_name(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(formats); i++)
		if (strcmp(formats[i].name, name) == 0)
			return &formats[i];
	return NULL;
}

const char *format_head_word(enum format_head head)
{
	return head_words[head];
}

int format_head_by_word(const char *word)
{
	for (size_t i = 0; i < ARRAY_SIZE(head_words); i++)
		if (strcmp(head_words[i], word) == 0)
			return (int)i;
	return -1;
}
