/* SPDX-License-Identifier: Apache-2.0 */
#include "image/json/show.h"

#include "base/auto.h"
#include "base/parse.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>

/* ------------------------------------------------------------------ names */

struct name {
	const char *name;
	uint64_t value;
};

struct show_names {
	const struct name *names;
	size_t n;
};

#define NAMES(array) ((const struct show_names){array, ARRAY_SIZE(array)})

/* clang-format off */
static const struct name mmap_prot[] = {
	{"PROT_READ", 1}, {"PROT_WRITE", 2}, {"PROT_EXEC", 4},
};
static const struct name mmap_flags[] = {
	{"MAP_SHARED", 1}, {"MAP_PRIVATE", 2}, {"MAP_DROPPABLE", 8}, {"MAP_ANON", 0x20},
	{"MAP_GROWSDOWN", 0x100},
};
static const struct name mmap_status[] = {
	{"VMA_AREA_REGULAR", 1u << 0}, {"VMA_AREA_STACK", 1u << 1},
	{"VMA_AREA_VSYSCALL", 1u << 2}, {"VMA_AREA_VDSO", 1u << 3}, {"VMA_AREA_HEAP", 1u << 5},
	{"VMA_FILE_PRIVATE", 1u << 6}, {"VMA_FILE_SHARED", 1u << 7},
	{"VMA_ANON_SHARED", 1u << 8}, {"VMA_ANON_PRIVATE", 1u << 9},
	{"VMA_AREA_SYSVIPC", 1u << 10}, {"VMA_AREA_SOCKET", 1u << 11}, {"VMA_AREA_VVAR", 1u << 12},
	{"VMA_AREA_AIORING", 1u << 13}, {"VMA_AREA_MEMFD", 1u << 14}, {"VMA_AREA_SHSTK", 1u << 15},
	{"VMA_AREA_UPROBES", 1u << 17}, {"VMA_UNSUPP", 1u << 31},
};
static const struct name rfile_flags[] = {
	{"O_WRONLY", 01}, {"O_RDWR", 02}, {"O_CREAT", 0100}, {"O_EXCL", 0200}, {"O_NOCTTY", 0400},
	{"O_TRUNC", 01000}, {"O_APPEND", 02000}, {"O_NONBLOCK", 04000}, {"O_DSYNC", 010000},
	{"FASYNC", 020000}, {"O_DIRECT", 040000}, {"O_LARGEFILE", 0100000},
	{"O_DIRECTORY", 0200000}, {"O_NOFOLLOW", 0400000}, {"O_NOATIME", 01000000},
	{"O_CLOEXEC", 02000000},
};
static const struct name pmap_flags[] = {
	{"PE_PARENT", 1}, {"PE_LAZY", 2}, {"PE_PRESENT", 4},
};
static const struct name seals_flags[] = {
	{"F_SEAL_SEAL", 1}, {"F_SEAL_SHRINK", 2}, {"F_SEAL_GROW", 4}, {"F_SEAL_WRITE", 8},
	{"F_SEAL_FUTURE_WRITE", 0x10},
};
/* What others expect, not what the values mean: 3 is stopped, 6 is never written. */
static const struct name task_state[] = {{"Alive", 1}, {"Zombie", 3}, {"Stopped", 6}};
static const struct name sk_family[] = {
	{"UNIX", 1}, {"INET", 2}, {"INET6", 10}, {"NETLINK", 16}, {"PACKET", 17},
};
static const struct name sk_type[] = {
	{"STREAM", 1}, {"DGRAM", 2}, {"RAW", 3}, {"SEQPACKET", 5}, {"PACKET", 10},
};
static const struct name sk_state[] = {
	{"ESTABLISHED", 1}, {"SYN_SENT", 2}, {"SYN_RECV", 3}, {"FIN_WAIT1", 4}, {"FIN_WAIT2", 5},
	{"TIME_WAIT", 6}, {"CLOSE", 7}, {"CLOSE_WAIT", 8}, {"LAST_ACK", 9}, {"LISTEN", 10},
};
static const struct name sk_proto[] = {{"IP", 0}, {"TCP", 6}, {"UDP", 17}, {"UDPLITE", 136}};

static const struct show_names
	names_mmap_prot = NAMES(mmap_prot), names_mmap_flags = NAMES(mmap_flags),
	names_mmap_status = NAMES(mmap_status), names_rfile_flags = NAMES(rfile_flags),
	names_pmap_flags = NAMES(pmap_flags), names_seals_flags = NAMES(seals_flags),
	names_task_state = NAMES(task_state), names_sk_family = NAMES(sk_family),
	names_sk_type = NAMES(sk_type), names_sk_state = NAMES(sk_state),
	names_sk_proto = NAMES(sk_proto);

/* ------------------------------------------------------------------ table */

struct row {
	const char *message;
	const char *field;
	struct show show;
};

#define HEX(m, f)	 {m, f, {SHOW_HEX, NULL}}
#define DEV(m, f)	 {m, f, {SHOW_DEV, NULL}}
#define ODEV(m, f)	 {m, f, {SHOW_ODEV, NULL}}
#define IP(m, f)	 {m, f, {SHOW_IP, NULL}}
#define FLAGS(m, f, names) {m, f, {SHOW_FLAGS, &names_##names}}
#define WORD(m, f, names)  {m, f, {SHOW_WORD, &names_##names}}

static const struct row rows[] = {
	FLAGS("bpfmap_file_entry", "flags", rfile_flags),
	HEX("thread_info_aarch64", "clear_tid_addr"), HEX("thread_info_aarch64", "gpregs"),
	HEX("user_x86_cet_entry", "cet"), HEX("user_x86_cet_entry", "ssp"),
	HEX("thread_info_x86", "clear_tid_addr"), HEX("thread_info_x86", "gpregs"),
	HEX("sa_entry", "sigaction"), HEX("sa_entry", "flags"), HEX("sa_entry", "restorer"),
	HEX("sa_entry", "mask"), HEX("sa_entry", "mask_extended"),
	WORD("task_core_entry", "task_state", task_state),
	HEX("task_core_entry", "blk_sigset"), HEX("task_core_entry", "blk_sigset_extended"),
	HEX("task_core_entry", "membarrier_registration_mask"),
	FLAGS("reg_file_entry", "flags", rfile_flags),
	HEX("tcp_stream_entry", "opt_mask"),
	WORD("inet_sk_entry", "family", sk_family), WORD("inet_sk_entry", "type", sk_type),
	WORD("inet_sk_entry", "proto", sk_proto), WORD("inet_sk_entry", "state", sk_state),
	HEX("inet_sk_entry", "flags"), IP("inet_sk_entry", "src_addr"), IP("inet_sk_entry", "dst_addr"),
	HEX("packet_sock_entry", "flags"), HEX("netlink_sk_entry", "flags"),
	HEX("signalfd_entry", "flags"), HEX("signalfd_entry", "sigmask"),
	HEX("tun_link_entry", "flags"),
	HEX("timerfd_entry", "flags"), HEX("timerfd_entry", "settime_flags"),
	ODEV("irmap_cache_entry", "dev"),
	HEX("inotify_wd_entry", "mask"), HEX("inotify_wd_entry", "ignored_mask"),
	DEV("inotify_wd_entry", "s_dev"), HEX("inotify_file_entry", "flags"),
	HEX("fanotify_mark_entry", "mflags"), HEX("fanotify_mark_entry", "mask"),
	HEX("fanotify_mark_entry", "ignored_mask"), DEV("fanotify_mark_entry", "s_dev"),
	HEX("fanotify_file_entry", "flags"), HEX("fanotify_file_entry", "faflags"),
	HEX("fanotify_file_entry", "evflags"),
	WORD("unix_sk_entry", "type", sk_type), WORD("unix_sk_entry", "state", sk_state),
	HEX("unix_sk_entry", "flags"), HEX("unix_sk_entry", "uflags"),
	{"unix_sk_entry", "name", {SHOW_UNIX_NAME, NULL}},
	HEX("pipe_entry", "flags"), HEX("tty_file_entry", "flags"),
	FLAGS("memfd_file_entry", "flags", rfile_flags), FLAGS("memfd_inode_entry", "seals", seals_flags),
	DEV("ghost_file_entry", "dev"), ODEV("ghost_file_entry", "rdev"),
	HEX("vma_entry", "start"), HEX("vma_entry", "end"), FLAGS("vma_entry", "prot", mmap_prot),
	FLAGS("vma_entry", "flags", mmap_flags), FLAGS("vma_entry", "status", mmap_status),
	HEX("vma_entry", "madv"), HEX("vma_entry", "fdflags"),
	HEX("mm_entry", "mm_start_code"), HEX("mm_entry", "mm_end_code"),
	HEX("mm_entry", "mm_start_data"), HEX("mm_entry", "mm_end_data"),
	HEX("mm_entry", "mm_start_stack"), HEX("mm_entry", "mm_start_brk"), HEX("mm_entry", "mm_brk"),
	HEX("mm_entry", "mm_arg_start"), HEX("mm_entry", "mm_arg_end"),
	HEX("mm_entry", "mm_env_start"), HEX("mm_entry", "mm_env_end"),
	DEV("mnt_entry", "root_dev"), HEX("mnt_entry", "flags"), HEX("mnt_entry", "sb_flags"),
	IP("sit_entry", "local"), IP("sit_entry", "remote"), IP("sit_entry", "rd_prefix"),
	IP("sit_entry", "relay_prefix"),
	HEX("net_device_entry", "flags"),
	HEX("pagemap_entry", "vaddr"), FLAGS("pagemap_entry", "flags", pmap_flags),
};
/* clang-format on */

static struct show find_row(const char *message, const char *field)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (strcmp(rows[i].message, message) == 0 && strcmp(rows[i].field, field) == 0)
			return rows[i].show;
	return (struct show){SHOW_PLAIN, NULL};
}

const struct show *show_table(struct show_cache *c, const ProtobufCMessageDescriptor *type)
{
	size_t place = map_get(&c->places, (uintptr_t)type);
	struct show *table;

	if (place != MAP_NONE)
		return c->tables.data[place];
	table = arena_array_of(c->a, struct show, type->n_fields + 1);
	for (unsigned int i = 0; i < type->n_fields; i++)
		table[i] = find_row(type->name, type->fields[i].name);
	map_put(&c->places, (uintptr_t)type, c->tables.len);
	*vec_push(&c->tables) = table;
	return table;
}

void show_cache_done(struct show_cache *c)
{
	map_done(&c->places);
	vec_done(&c->tables);
}

/* ----------------------------------------------------------------- values */

static void put_flags(const struct show_names *names, uint64_t value, char *buf, size_t size)
{
	size_t len = 0;

	buf[0] = '\0';
	for (size_t i = 0; i < names->n; i++) {
		const struct name *n = &names->names[i];

		if (!n->value || (value & n->value) != n->value)
			continue;
		value &= ~n->value;
		len += (size_t)snprintf(buf + len, size - len, "%s%s", len ? " | " : "", n->name);
	}
	if (value)
		snprintf(buf + len, size - len, "%s0x%" PRIx64, len ? " | " : "", value);
}

static bool put_word(const struct show_names *names, uint64_t value, char *buf, size_t size)
{
	for (size_t i = 0; i < names->n; i++) {
		if (names->names[i].value == value) {
			str_copy(buf, size, names->names[i].name);
			return true;
		}
	}
	return false;
}

#define KERNEL_MINOR_BITS 20

bool show_value(const struct show *s, uint64_t value, char *buf, size_t size)
{
	switch (s->kind) {
	case SHOW_HEX:
		snprintf(buf, size, "0x%" PRIx64, value);
		return true;
	case SHOW_DEV:
		snprintf(buf, size, "%" PRIu64 ":%" PRIu64, value >> KERNEL_MINOR_BITS,
			 value & ((1u << KERNEL_MINOR_BITS) - 1));
		return true;
	case SHOW_ODEV:
		snprintf(buf, size, "%u:%u", major(value), minor(value));
		return true;
	case SHOW_FLAGS:
		put_flags(s->names, value, buf, size);
		return true;
	case SHOW_WORD:
		return put_word(s->names, value, buf, size);
	default:
		return false;
	}
}

/* A whole number with the prefix of its base: 0x, 0o, 0b, or none. May be negative. */
static bool parse_number(const char *text, uint64_t *ret)
{
	bool minus = text[0] == '-';
	int base = 10;

	text += minus;
	if (text[0] == '0' && text[1]) {
		base = text[1] == 'x' || text[1] == 'X' ? 16 : text[1] == 'o' ? 8 : 0;
		if (!base)
			return false;
		text += 2;
	}
	if (parse_u64(text, base, ret) < 0)
		return false;
	if (minus)
		*ret = (uint64_t)0 - *ret;
	return true;
}

static bool parse_name(const struct show_names *names, const char *text, uint64_t *ret)
{
	for (size_t i = 0; i < names->n; i++) {
		if (strcmp(names->names[i].name, text) == 0) {
			*ret = names->names[i].value;
			return true;
		}
	}
	return parse_number(text, ret);
}

/* "A | B | 0x10", blanks as anybody likes them; "" is 0. */
static bool parse_flags(const struct show_names *names, const char *text, uint64_t *ret)
{
	char word[64];
	uint64_t value;

	*ret = 0;
	while (*text) {
		size_t len = strcspn(text, "|"), blanks = strspn(text, " ");
		size_t n = len - MIN(len, blanks);

		while (n && text[blanks + n - 1] == ' ')
			n--;
		if (n >= sizeof(word))
			return false;
		memcpy(word, text + blanks, n);
		word[n] = '\0';
		if (n && !parse_name(names, word, &value))
			return false;
		*ret |= n ? value : 0;
		text += len + (text[len] == '|');
	}
	return true;
}

static bool parse_dev(const struct show *s, const char *text, uint64_t *ret)
{
	uint64_t maj, min;

	if (!scan_u64(&text, 10, &maj) || !scan_char(&text, ':') || !scan_u64(&text, 10, &min) ||
	    *text || maj > UINT32_MAX || min > UINT32_MAX)
		return false;
	*ret = s->kind == SHOW_ODEV ? makedev((unsigned int)maj, (unsigned int)min)
				    : maj << KERNEL_MINOR_BITS | min;
	return true;
}

bool show_parse(const struct show *s, const char *text, uint64_t *ret)
{
	switch (s->kind) {
	case SHOW_DEV:
	case SHOW_ODEV:
		return parse_dev(s, text, ret) || parse_number(text, ret);
	case SHOW_FLAGS:
		return parse_flags(s->names, text, ret);
	case SHOW_WORD:
		return parse_name(s->names, text, ret);
	default:
		return parse_number(text, ret);
	}
}
