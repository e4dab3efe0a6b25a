/* SPDX-License-Identifier: Apache-2.0 */
/* Summary: descriptors and what they lead to, by kind; the ones with a story by name. */
#include "inspect/summary.h"

#include "base/auto.h"
#include "image/schema/remap-file-path.pb-c.h"
#include "image/schema/tty.pb-c.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

#define OLD_GHOST 0x80000000u /* remap_id of images without remap_type */

/* --------------------------------------------------------------- addresses */

static void print_address(const InetSkEntry *e, const uint32_t *words, size_t n, uint32_t port,
			  char *out, size_t size)
{
	char text[INET6_ADDRSTRLEN] = "?";

	if (e->family == AF_INET && n >= 1)
		inet_ntop(AF_INET, words, text, sizeof(text));
	else if (e->family == AF_INET6 && n >= 4)
		inet_ntop(AF_INET6, words, text, sizeof(text));
	snprintf(out, size, e->family == AF_INET6 ? "[%s]:%u" : "%s:%u", text, port);
}

static const char *protocol(const InetSkEntry *e)
{
	switch (e->proto) {
	case IPPROTO_TCP:
		return "tcp";
	case IPPROTO_UDP:
		return "udp";
	case IPPROTO_UDPLITE:
		return "udplite";
	default:
		return "raw";
	}
}

/* An unbound socket has neither; TCP_LISTEN counts for TCP only. */
static void add_inet(struct summary *s, json_t *files, const InetSkEntry *e)
{
	char src[INET6_ADDRSTRLEN + 16], dst[INET6_ADDRSTRLEN + 16];
	bool tcp = e->proto == IPPROTO_TCP, connected = tcp && e->state == TCP_ESTABLISHED;

	print_address(e, e->src_addr, e->n_src_addr, e->src_port, src, sizeof(src));
	print_address(e, e->dst_addr, e->n_dst_addr, e->dst_port, dst, sizeof(dst));
	if (tcp && e->state == TCP_LISTEN)
		json_array_append_new(json_object_get(files, "listening"),
				      json_pack("{ss ss}", "protocol", "tcp", "address", src));
	else if (e->dst_port)
		json_array_append_new(json_object_get(files, "connections"),
				      json_pack("{ss ss ss}", "protocol", protocol(e), "local", src,
						"peer", dst));
	else if (!tcp && e->src_port)
		json_array_append_new(
			json_object_get(files, "listening"),
			json_pack("{ss ss}", "protocol", protocol(e), "address", src));
	if (connected)
		summary_option(s, "--tcp-established", "there are TCP connections");
}

/* A name that starts with NUL is of the abstract kind. */
static void add_unix(json_t *files, const UnixSkEntry *e)
{
	char name[128];
	size_t n = MIN(e->name.len, sizeof(name) - 1);

	if (e->state != TCP_LISTEN || !n)
		return;
	memcpy(name, e->name.data, n);
	while (n > 1 && !name[n - 1])
		n--;
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)name[i] < ' ' || name[i] == 0x7f)
			name[i] = name[i] || i ? '?' : '@';
	json_array_append_new(
		json_object_get(files, "listening"),
		json_pack("{ss so}", "protocol", "unix", "address", json_text(name, n)));
}

/* ------------------------------------------------------------------- kinds */

static const char *inet_kind(const InetSkEntry *e)
{
	bool v6 = e->family == AF_INET6;

	switch (e->proto) {
	case IPPROTO_TCP:
		return v6 ? "tcp6 sockets" : "tcp sockets";
	case IPPROTO_UDP:
		return v6 ? "udp6 sockets" : "udp sockets";
	default:
		return "other inet sockets";
	}
}

static const char *kind_name(const FileEntry *e)
{
	static const char *const names[] = {
		[FD_TYPES__REG] = "files",
		[FD_TYPES__PIPE] = "pipe ends",
		[FD_TYPES__FIFO] = "fifos",
		[FD_TYPES__INETSK] = "inet sockets",
		[FD_TYPES__UNIXSK] = "unix sockets",
		[FD_TYPES__EVENTFD] = "eventfds",
		[FD_TYPES__EVENTPOLL] = "epolls",
		[FD_TYPES__INOTIFY] = "inotify queues",
		[FD_TYPES__SIGNALFD] = "signalfds",
		[FD_TYPES__PACKETSK] = "packet sockets",
		[FD_TYPES__TTY] = "terminals",
		[FD_TYPES__FANOTIFY] = "fanotify queues",
		[FD_TYPES__NETLINKSK] = "netlink sockets",
		[FD_TYPES__NS] = "namespace files",
		[FD_TYPES__TUNF] = "tun devices",
		[FD_TYPES__EXT] = "external files",
		[FD_TYPES__TIMERFD] = "timerfds",
		[FD_TYPES__MEMFD] = "memfds",
		[FD_TYPES__BPFMAP] = "bpf maps",
		[FD_TYPES__PIDFD] = "pidfds",
	};

	if (e->isk)
		return inet_kind(e->isk);
	if ((size_t)e->type < ARRAY_SIZE(names) && names[e->type])
		return names[e->type];
	return "others";
}

static void add_file(struct summary *s, json_t *files, const FileEntry *e)
{
	/* files.img has also what is mapped, executed or a working directory only. */
	if (map_get(&s->file_users, e->id) == MAP_NONE)
		return;
	json_count(json_object_get(files, "kinds"), kind_name(e), 1);
	if (e->isk)
		add_inet(s, files, e->isk);
	if (e->usk)
		add_unix(files, e->usk);
}

/* ------------------------------------------------------------- descriptors */

static int read_table(struct summary *s, uint32_t files_id, json_int_t *ret, struct err *err)
{
	auto_img_reader struct img_reader *r = NULL;
	FdinfoEntry *e;
	int got;

	TRY(img_open(&s->cp->dir, IMG_FDINFO, files_id, &r, err));
	while ((got = img_get(r, s->scratch, &e, err)) > 0) {
		size_t n = map_get(&s->file_users, e->id);

		map_put(&s->file_users, e->id, n == MAP_NONE ? 1 : n + 1);
		++*ret;
	}
	return got;
}

static void add_descriptors(struct summary *s, size_t i, struct map *tables, json_t *files)
{
	json_t *process = json_array_get(json_object_get(s->out, "processes"), i);
	struct checkpoint_task *t = &s->cp->tasks.data[i];
	struct err err = ERR_INIT;
	const TaskKobjIdsEntry *ids;
	json_int_t n = 0;

	if (!t->core || checkpoint_is_zombie(t->core))
		return;
	if (checkpoint_ids(s->cp, t, &ids, &err) < 0) {
		summary_problem(s, &err);
		return;
	}
	if (map_get(tables, ids->files_id) == MAP_NONE) {
		if (read_table(s, ids->files_id, &n, &err) < 0)
			summary_problem(s, &err);
		map_put(tables, ids->files_id, (size_t)n);
		json_count(files, "descriptors", n);
	}
	json_object_set_new(process, "descriptors",
			    json_integer((json_int_t)map_get(tables, ids->files_id)));
}

/* ----------------------------------------------------------------- deleted */

static bool is_ghost(const RemapFilePathEntry *e)
{
	if (!e->has_remap_type)
		return e->remap_id & OLD_GHOST;
	return e->remap_type == REMAP_TYPE__GHOST;
}

static void add_deleted(struct summary *s, json_t *files)
{
	auto_img_reader struct img_reader *r = NULL;
	struct err err = ERR_INIT;
	RemapFilePathEntry *e;
	const FileEntry *f;
	int got = img_open(&s->cp->dir, IMG_REMAP_FPATH, 0, &r, &err);

	while (got >= 0 && (got = img_get(r, s->scratch, &e, &err)) > 0) {
		if (!is_ghost(e) || checkpoint_file(s->cp, e->orig_id, &f, &err) < 0 || !f ||
		    !f->reg)
			continue;
		json_array_append_new(json_object_get(files, "deleted"),
				      json_string_of(f->reg->name));
	}
	if (got < 0)
		summary_problem(s, &err);
}

/* --------------------------------------------------------------- terminals */

static bool has_tty(struct summary *s, uint32_t id)
{
	auto_img_reader struct img_reader *r = NULL;
	struct err err = ERR_INIT;
	TtyInfoEntry *e;

	if (img_open(&s->cp->dir, IMG_TTY_INFO, 0, &r, &err) < 0)
		return false;
	while (img_get(r, s->scratch, &e, &err) > 0)
		if (e->id == id)
			return true;
	return false;
}

static json_t *describe_tty(struct summary *s, const TtyInfoEntry *e)
{
	static const char *const types[] = {"unknown", "pty",	   "console", "vt",
					    "current", "external", "serial"};
	const char *type = (size_t)e->type < ARRAY_SIZE(types) ? types[e->type] : "unknown";
	json_t *tty = json_pack("{ss sI sI}", "type", type, "session", (json_int_t)e->sid,
				"foreground", (json_int_t)e->pgrp);
	/* Slaves have even ids, and their masters the number behind. */
	bool master = e->id & 1, pty = e->type == TTY_TYPE__PTY;

	if (e->pty)
		json_object_set_new(tty, "index", json_integer(e->pty->index));
	if (pty)
		json_object_set_new(tty, "end", json_string(master ? "master" : "slave"));
	if (pty && !master && e->termios && !has_tty(s, e->id | 1)) {
		json_object_set_new(tty, "external_master", json_true());
		summary_option(s, "--shell-job", "its terminal is one from outside");
	}
	return tty;
}

static void add_terminals(struct summary *s, json_t *files)
{
	auto_img_reader struct img_reader *r = NULL;
	struct err err = ERR_INIT;
	TtyInfoEntry *e;
	int got = img_open(&s->cp->dir, IMG_TTY_INFO, 0, &r, &err);

	while (got >= 0 && (got = img_get(r, s->scratch, &e, &err)) > 0)
		json_array_append_new(json_object_get(files, "terminals"), describe_tty(s, e));
	if (got < 0)
		summary_problem(s, &err);
}

void summary_files(struct summary *s)
{
	json_t *files = json_pack("{sI s{} s[] s[] s[] s[]}", "descriptors", (json_int_t)0, "kinds",
				  "deleted", "listening", "connections", "terminals");
	struct err err = ERR_INIT;
	struct map tables = {0};

	json_object_set_new(s->out, "files", files);
	for (size_t i = 0; i < s->cp->tasks.len; i++)
		add_descriptors(s, i, &tables, files);
	map_done(&tables);
	if (checkpoint_files(s->cp, &err) < 0)
		summary_problem(s, &err);
	vec_foreach (f, &s->cp->files)
		add_file(s, files, *f);
	add_deleted(s, files);
	add_terminals(s, files);
}
