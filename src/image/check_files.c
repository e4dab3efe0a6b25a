/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files: files.img, descriptor tables, and the images that describe what is behind some files.
 * Format facts: ../shared/formats/IMAGES.md sections 8 to 13.
 *
 * A file id is unique over all types, but that a TUN, fifo or terminal may share the one of the
 * regular entry that carries its path. Records refer forwards as well as backwards, so references
 * are collected and looked at in the end.
 */
#include "image/check_priv.h"

#include "base/auto.h"
#include "image/schema/fdinfo.pb-c.h"
#include "image/schema/file-lock.pb-c.h"
#include "image/schema/file-policy.pb-c.h"
#include "image/schema/fs.pb-c.h"
#include "image/schema/ghost-file.pb-c.h"
#include "image/schema/memfd.pb-c.h"
#include "image/schema/pipe-data.pb-c.h"
#include "image/schema/remap-file-path.pb-c.h"
#include "image/schema/sk-packet.pb-c.h"
#include "image/schema/tty.pb-c.h"
#include "image/sums.h"

#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#define FD_MAX	   (1u << 20) /* the default of /proc/sys/fs/nr_open */
#define TERMIOS_CC 19
#define OLD_GHOST  0x80000000u /* remap_id of images without remap_type */
/* The highest values that checksum_config and a policy have. */
#define CHECKSUM_EVERY 2u
#define POLICY_MAX     3u

/* ---------------------------------------------------- all records of an image */

typedef int (*record_fn)(struct check *c, struct img_reader *r, uint64_t at, const void *msg,
			 struct err *err);

/* What follows its records is found by their fields: behind a bad one, nothing can be read. */
static bool has_bytes_behind(enum img_kind kind)
{
	return kind == IMG_PIPES_DATA || kind == IMG_FIFO_DATA || kind == IMG_SK_QUEUES;
}

/* Reads every record of an image that may be absent. `fn` skips the bytes behind it. */
static int each_record(struct check *c, enum img_kind kind, uint64_t id, record_fn fn,
		       struct err *err)
{
	auto_img_reader struct img_reader *r = NULL;
	ProtobufCMessage *msg;
	char name[IMG_NAME_MAX];
	int got;

	TRY(img_open(c->dir, kind, id, &r, err));
	for (;;) {
		uint64_t at = r ? img_tell(r) : 0;

		got = img_get(r, check_scratch(c), &msg, err);
		if (got <= 0)
			return got;
		if (fn(c, r, at, msg, err) < 0) {
			img_name(kind, id, name);
			err_in(err, "%s: record at %" PRIu64, name, at);
			TRY(check_note(c, err));
			if (has_bytes_behind(kind))
				return 0;
		}
	}
}

/* ------------------------------------------------------------- files.img */

/* Which field of file_entry a type has. */
static const uint32_t field_of_type[] = {
	[FD_TYPES__REG] = 3,	   [FD_TYPES__PIPE] = 18,    [FD_TYPES__FIFO] = 17,
	[FD_TYPES__INETSK] = 4,	   [FD_TYPES__UNIXSK] = 16,  [FD_TYPES__EVENTFD] = 8,
	[FD_TYPES__EVENTPOLL] = 9, [FD_TYPES__INOTIFY] = 13, [FD_TYPES__SIGNALFD] = 10,
	[FD_TYPES__PACKETSK] = 6,  [FD_TYPES__TTY] = 19,     [FD_TYPES__FANOTIFY] = 14,
	[FD_TYPES__NETLINKSK] = 7, [FD_TYPES__NS] = 5,	     [FD_TYPES__TUNF] = 11,
	[FD_TYPES__EXT] = 15,	   [FD_TYPES__TIMERFD] = 12, [FD_TYPES__MEMFD] = 20,
	[FD_TYPES__BPFMAP] = 21,   [FD_TYPES__PIDFD] = 22,
};

static const void *sub_message(const FileEntry *e, const ProtobufCFieldDescriptor *f)
{
	return *(void *const *)((const char *)e + f->offset);
}

/* Every message of a file starts with its id. */
static uint32_t id_of(const ProtobufCMessage *msg)
{
	const ProtobufCFieldDescriptor *f = &msg->descriptor->fields[0];

	return *(const uint32_t *)(const void *)((const char *)msg + f->offset);
}

/* The message of its type, no other one, and with the same id. */
static int check_body(const FileEntry *e, struct err *err)
{
	uint32_t field = (size_t)e->type < ARRAY_SIZE(field_of_type) ? field_of_type[e->type] : 0;
	const ProtobufCMessageDescriptor *d = &file_entry__descriptor;
	const ProtobufCMessage *body = NULL;

	if (!field)
		return err_input(err, "type: %d is unknown", (int)e->type);
	for (unsigned int i = 0; i < d->n_fields; i++) {
		const ProtobufCFieldDescriptor *f = &d->fields[i];

		if (f->type != PROTOBUF_C_TYPE_MESSAGE || !sub_message(e, f))
			continue;
		if (f->id != field)
			return err_input(err, "%s: the file is of another type", f->name);
		body = sub_message(e, f);
	}
	if (!body)
		return err_input(err, "file %u: what belongs to its type is missing", e->id);
	if (id_of(body) != e->id)
		return err_input(err, "id: %u outside, %u inside", e->id, id_of(body));
	return 0;
}

static int add_file(struct check *c, const FileEntry *e, struct err *err)
{
	const uint32_t reg = 1u << FD_TYPES__REG;
	const uint32_t with_path = 1u << FD_TYPES__TUNF | 1u << FD_TYPES__FIFO |
				   1u << FD_TYPES__TTY;
	uint32_t type = 1u << e->type, *have;

	if (!e->id)
		return err_input(err, "id: 0");
	if (idmap_add(&c->files, e->id, type))
		return 0;
	have = idmap_find(&c->files, e->id);
	if ((*have == reg && (type & with_path)) || (type == reg && (*have & with_path) == *have)) {
		*have |= type;
		return 0;
	}
	return err_input(err, "id: %u is that of another file, too", e->id);
}

static void add_ref(struct check *c, uint64_t at, const char *field, uint32_t id, uint32_t type)
{
	*vec_push(&c->refs) = (struct check_ref){.at = at, .field = field, .id = id, .type = type};
}

/* Looked at when it is needed: its contents would have to be read for that. */
static int check_embedded(const struct check *c, const RegFileEntry *e, struct err *err)
{
	char name[IMG_NAME_MAX];
	struct stat st;

	if (!e->has_embedded_id)
		return 0;
	img_name(IMG_MAPPED_FILE, e->embedded_id, name);
	if (fstatat(c->dir->fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode) ||
	    (img_sums_known(c->dir->sums) && !img_sums_find(c->dir->sums, name)))
		return err_input(err, "reg.embedded_id: %s is missing", name);
	return 0;
}

static int check_contents(const RegFileEntry *e, struct err *err)
{
	if (e->has_size && e->size > INT64_MAX)
		return err_input(err, "reg.size: %" PRIu64, e->size);
	if (e->has_log_size && e->log_size > INT64_MAX)
		return err_input(err, "reg.log_size: %" PRIu64, e->log_size);
	if (e->has_checksum && e->checksum_config > CHECKSUM_EVERY)
		return err_input(err, "reg.checksum_config: %u is unknown", e->checksum_config);
	if (e->has_checksum && e->has_checksum_parameter && !e->checksum_parameter)
		return err_input(err, "reg.checksum_parameter: 0");
	return 0;
}

static int check_path(const RegFileEntry *e, struct err *err)
{
	if (strlen(e->name) >= PATH_MAX)
		return err_input(err, "reg.name: %zu bytes", strlen(e->name));
	/* The name of an external file is a key, not a path. */
	if (e->name[0] != '/' && !(e->has_ext && e->ext))
		return err_input(err, "reg.name: '%.64s' isn't an absolute path", e->name);
	return 0;
}

static int check_file(struct check *c, struct img_reader *r, uint64_t at, const void *msg,
		      struct err *err)
{
	const FileEntry *e = msg;

	TRY(check_body(e, err));
	TRY(add_file(c, e, err));
	TRY(check_file_values(e, err));
	if (e->reg) {
		TRY(check_path(e->reg, err));
		TRY(check_contents(e->reg, err));
		return check_embedded(c, e->reg, err);
	}
	if (e->fifo) /* old images: the path has the same id */
		add_ref(c, at, "fifo.regf_id", e->fifo->has_regf_id ? e->fifo->regf_id : e->id,
			FD_TYPES__REG);
	if (e->tty && e->tty->has_regf_id)
		add_ref(c, at, "tty.regf_id", e->tty->regf_id, FD_TYPES__REG);
	if (e->tunf)
		add_ref(c, at, "tunf.id", e->id, FD_TYPES__REG);
	if (e->memfd && !idmap_find(&c->memfds, e->memfd->inode_id))
		return err_input(err, "memfd.inode_id: %u isn't in memfd.img", e->memfd->inode_id);
	if (e->tty && !idmap_find(&c->ttys, e->tty->tty_info_id))
		return err_input(err, "tty.tty_info_id: %u isn't in tty-info.img",
				 e->tty->tty_info_id);
	return 0;
}

static int check_refs(struct check *c, struct err *err)
{
	vec_foreach (ref, &c->refs) {
		char where[64];

		snprintf(where, sizeof(where), "files.img: record at %" PRIu64, ref->at);
		NOTE(c, check_file_id(c, where, ref->field, ref->id, ref->type, err), err);
	}
	return 0;
}

/* ------------------------------------------------- what is behind files */

static int check_memfd(struct check *c, struct img_reader *r, uint64_t at, const void *msg,
		       struct err *err)
{
	const MemfdInodeEntry *e = msg;

	if (!idmap_add(&c->memfds, e->inode_id, 0))
		return err_input(err, "inode_id: there are two %" PRIu64, e->inode_id);
	if (e->size > INT64_MAX)
		return err_input(err, "size: %" PRIu64, e->size);
	return e->size ? check_shmem(c, e->shmid, e->size, err) : 0;
}

static int check_tty(struct check *c, struct img_reader *r, uint64_t at, const void *msg,
		     struct err *err)
{
	const TtyInfoEntry *e = msg;

	if (!idmap_add(&c->ttys, e->id, 0))
		return err_input(err, "id: there are two %u", e->id);
	/* All three, or a terminal that was hung up. */
	if (!e->termios != !e->termios_locked || !e->termios != !e->winsize)
		return err_input(err, "termios, termios_locked, winsize: not all are there");
	if (e->termios &&
	    (e->termios->n_c_cc < TERMIOS_CC || e->termios_locked->n_c_cc < TERMIOS_CC))
		return err_input(err, "termios.c_cc: fewer than %d values", TERMIOS_CC);
	return 0;
}

static int check_pipe_data(struct check *c, struct img_reader *r, uint64_t at, const void *msg,
			   struct err *err)
{
	const PipeDataEntry *e = msg;

	if (!idmap_add(&c->pipes, e->pipe_id, 0))
		return err_input(err, "pipe_id: there are two %u", e->pipe_id);
	if (e->has_size && (e->size > INT32_MAX || e->bytes > e->size))
		return err_input(err, "bytes: %u in a pipe of %u", e->bytes, e->size);
	return img_skip_raw(r, e->bytes, err);
}

static int check_queue(struct check *c, struct img_reader *r, uint64_t at, const void *msg,
		       struct err *err)
{
	const SkPacketEntry *e = msg;

	if (!idmap_find(&c->files, e->id_for) && !c->files_unknown)
		return err_input(err, "id_for: file %u isn't in files.img", e->id_for);
	for (size_t i = 0; i < e->n_scm; i++)
		for (size_t k = 0; k < e->scm[i]->n_rights; k++)
			if (!idmap_find(&c->files, e->scm[i]->rights[k]) && !c->files_unknown)
				return err_input(err, "scm.rights: file %u isn't in files.img",
						 e->scm[i]->rights[k]);
	return img_skip_raw(r, e->length, err);
}

static int check_ghost(struct check *c, uint32_t id, struct err *err)
{
	auto_img_reader struct img_reader *r = NULL;
	GhostFileEntry *e;
	char name[IMG_NAME_MAX];
	int got;

	img_name(IMG_GHOST_FILE, id, name);
	TRY(img_open(c->dir, IMG_GHOST_FILE, id, &r, err));
	got = img_get(r, check_scratch(c), &e, err);
	if (got < 0)
		return got;
	if (!got)
		return err_input(err, "remap_id: %s is missing", name);
	if (e->has_chunks && e->chunks && !e->has_size)
		return err_input(err, "%s: size is missing", name);
	return 0;
}

static int check_remap(struct check *c, struct img_reader *r, uint64_t at, const void *msg,
		       struct err *err)
{
	const RemapFilePathEntry *e = msg;
	RemapType type = e->remap_type;
	uint32_t id = e->remap_id;

	if (!e->has_remap_type) {
		type = id & OLD_GHOST ? REMAP_TYPE__GHOST : REMAP_TYPE__LINKED;
		id &= ~OLD_GHOST;
	}
	TRY(check_file_id(c, "remap", "orig_id", e->orig_id, FD_TYPES__REG, err));
	if (!idmap_add(&c->remaps, e->orig_id, 0))
		return err_input(err, "orig_id: there are two %u", e->orig_id);
	switch (type) {
	case REMAP_TYPE__LINKED:
		return check_file_id(c, "remap", "remap_id", id, FD_TYPES__REG, err);
	case REMAP_TYPE__GHOST:
		return check_ghost(c, id, err);
	case REMAP_TYPE__PROCFS:
		if (!id || id > CHECK_PID_MAX)
			return err_input(err, "remap_id: %u isn't a pid", id);
		return 0;
	default:
		return err_input(err, "remap_type: %d is unknown", (int)type);
	}
}

static int check_policy(struct check *c, struct img_reader *r, uint64_t at, const void *msg,
			struct err *err)
{
	const FilePolicyEntry *e = msg;

	if (e->policy > POLICY_MAX)
		return err_input(err, "policy: %u is unknown", e->policy);
	if (!e->pattern[0] || strlen(e->pattern) >= PATH_MAX)
		return err_input(err, "pattern: %zu bytes", strlen(e->pattern));
	return 0;
}

static int check_lock(struct check *c, struct img_reader *r, uint64_t at, const void *msg,
		      struct err *err)
{
	const FileLockEntry *e = msg;

	if (e->pid <= 0 || (!idmap_find(&c->pids, (uint64_t)e->pid) && !c->tree_unknown))
		return err_input(err, "pid: %d isn't in pstree.img", e->pid);
	if (e->start < 0 || e->len < 0)
		return err_input(err, "start, len: %" PRId64 ", %" PRId64, e->start, e->len);
	return 0;
}

int check_files(struct check *c, struct err *err)
{
	NOTE(c, each_record(c, IMG_MEMFD, 0, check_memfd, err), err);
	NOTE(c, each_record(c, IMG_TTY_INFO, 0, check_tty, err), err);
	if (each_record(c, IMG_FILES, 0, check_file, err) < 0) {
		c->files_unknown = true;
		TRY(check_note(c, err));
	}
	TRY(check_refs(c, err));
	NOTE(c, each_record(c, IMG_REMAP_FPATH, 0, check_remap, err), err);
	NOTE(c, each_record(c, IMG_PIPES_DATA, 0, check_pipe_data, err), err);
	idmap_done(&c->pipes); /* inodes of other filesystems have numbers of their own */
	NOTE(c, each_record(c, IMG_FIFO_DATA, 0, check_pipe_data, err), err);
	NOTE(c, each_record(c, IMG_SK_QUEUES, 0, check_queue, err), err);
	NOTE(c, each_record(c, IMG_FILE_POLICY, 0, check_policy, err), err);
	return each_record(c, IMG_FILELOCKS, 0, check_lock, err);
}

/* ------------------------------------------------------ a task's files */

static int check_fdinfo_record(const struct check *c, const FdinfoEntry *e, struct idmap *fds,
			       struct err *err)
{
	const uint32_t *types = idmap_find(&c->files, e->id);

	if (e->fd >= FD_MAX)
		return err_input(err, "fd: %u", e->fd);
	if (!idmap_add(fds, e->fd, 0))
		return err_input(err, "fd: there are two %u", e->fd);
	if (e->flags & ~1u)
		return err_input(err, "fd %u: flags: %#x", e->fd, e->flags);
	if (!types && c->files_unknown)
		return 0;
	if (!types)
		return err_input(err, "fd %u: id: file %u isn't in files.img", e->fd, e->id);
	if ((uint32_t)e->type >= 32 || !(*types & (1u << e->type)))
		return err_input(err, "fd %u: type: %d isn't that of file %u", e->fd, (int)e->type,
				 e->id);
	return 0;
}

static int check_fdinfo_records(struct check *c, struct img_reader *r, const char *name,
				struct idmap *fds, struct err *err)
{
	FdinfoEntry *e;

	for (;;) {
		uint64_t at = r ? img_tell(r) : 0;
		int got = img_get(r, check_scratch(c), &e, err);

		if (got <= 0)
			return got;
		if (check_fdinfo_record(c, e, fds, err) < 0) {
			err_in(err, "%s: record at %" PRIu64, name, at);
			TRY(check_note(c, err));
		}
	}
}

/* A task without descriptors has no file. */
static int check_table(struct check *c, uint32_t files_id, struct err *err)
{
	auto_img_reader struct img_reader *r = NULL;
	struct idmap fds = {0};
	char name[IMG_NAME_MAX];
	int ret;

	/* 0: with a list of problems, of a task whose ids are broken */
	if (!files_id || !idmap_add(&c->tables, files_id, 0))
		return 0;
	img_name(IMG_FDINFO, files_id, name);
	TRY(img_open(c->dir, IMG_FDINFO, files_id, &r, err));
	ret = check_fdinfo_records(c, r, name, &fds, err);
	idmap_done(&fds);
	return ret;
}

int check_task_files(struct check *c, const struct check_task *t, struct err *err)
{
	char name[IMG_NAME_MAX];
	FsEntry *e;

	NOTE(c, check_table(c, t->files_id, err), err);
	img_name(IMG_FS, t->e->pid, name);
	TRY(img_read_one(c->dir, IMG_FS, t->e->pid, check_scratch(c), &e, err));
	NOTE(c, check_file_id(c, name, "cwd_id", e->cwd_id, FD_TYPES__REG, err), err);
	NOTE(c, check_file_id(c, name, "root_id", e->root_id, FD_TYPES__REG, err), err);
	if (e->has_umask && e->umask > 0777)
		return err_input(err, "%s: umask: %#o", name, e->umask);
	return 0;
}
