/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Image files of one checkpoint: records in, records out. Format facts:
 * ../shared/formats/IMAGES.md sections 1 and 2.
 *
 * One row per kind (kinds.c): name pattern, magic, message type, where it lives. Messages are
 * protobuf-c structs of image/schema; read ones live in an arena and are never freed singly.
 * Every byte that comes from a file is hostile: lengths are checked against the file's size.
 */
#pragma once

#include "base/arena.h"
#include "base/err.h"

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stdint.h>

enum img_kind {
	IMG_INVENTORY,
	IMG_PSTREE,
	IMG_IDS,
	IMG_CORE,
	IMG_MM,
	IMG_FS,
	IMG_PAGEMAP,
	IMG_PAGEMAP_SHMEM,
	IMG_FDINFO,
	IMG_FILES,
	IMG_REMAP_FPATH,
	IMG_GHOST_FILE, /* name is hex */
	IMG_PIPES_DATA,
	IMG_FIFO_DATA,
	IMG_SK_QUEUES,
	IMG_TCP_STREAM, /* name is hex */
	IMG_MEMFD,
	IMG_BPFMAP_FILE,
	IMG_BPFMAP_DATA,
	IMG_TTY_INFO,
	IMG_TTY_DATA,
	IMG_FILELOCKS,
	IMG_SECCOMP,
	IMG_APPARMOR,
	IMG_CGROUP,
	IMG_CPUINFO,
	IMG_MNTS,
	IMG_UTSNS,
	IMG_USERNS,
	IMG_TIMENS,
	IMG_PIDNS,
	IMG_IPCNS_VAR,
	IMG_IPCNS_SHM,
	IMG_IPCNS_MSG,
	IMG_IPCNS_SEM,
	IMG_NETDEV,
	IMG_NETNS,
	IMG_AUTOFS,
	IMG_BINFMT_MISC,
	IMG_STATS_DUMP, /* service image in the work directory, like the next two */
	IMG_STATS_RESTORE,
	IMG_IRMAP_CACHE,
	IMG_INTEGRITY, /* torpor's own: sums.h */
	/* torpor's own, too: contents of mapped files, as in ghost files; what may differ */
	IMG_MAPPED_FILE, /* name is hex */
	IMG_FILE_POLICY,
	IMG_KIND_MAX,
};

/* An image directory and a work directory. Both descriptors belong to the caller. */
struct img_dir {
	int fd;
	int work_fd;
	const char *path;      /* as the user gave it, for messages */
	struct img_sums *sums; /* of all images, against damage: sums.h; NULL: none */
};

/* The name of an image file, in a static-size buffer of the caller. */
#define IMG_NAME_MAX 64
void img_name(enum img_kind kind, uint64_t id, char name[IMG_NAME_MAX]);

/*
 * Writing. The file is created (0644) at the first record; a stale file of that name is unlinked,
 * even if there is no record, so that a directory never mixes two dumps. Buffered; img_close says
 * whether all of it reached the file.
 */
struct img_writer;
MUST_USE int img_create(const struct img_dir *dir, enum img_kind kind, uint64_t id,
			struct img_writer **ret, struct err *err);
/* `msg` must be of the kind's type, or of another one that may follow (ghost chunks, ...). */
MUST_USE int img_put(struct img_writer *w, const ProtobufCMessage *msg, struct err *err);
MUST_USE int img_put_raw(struct img_writer *w, const void *data, size_t len, struct err *err);
/* Copies len bytes from fd at off (-1: from a pipe or the current position). */
MUST_USE int img_put_from(struct img_writer *w, int fd, int64_t off, uint64_t len, struct err *err);
MUST_USE int img_close(struct img_writer *w, struct err *err); /* frees in any case */
void img_abort(struct img_writer *w);			       /* frees; accepts NULL */
/* One record, the whole file. */
MUST_USE int img_write_one(const struct img_dir *dir, enum img_kind kind, uint64_t id,
			   const ProtobufCMessage *msg, struct err *err);

/*
 * Reading. An absent file is an empty image: *ret is NULL and 1 record less is read; readers
 * accept NULL. Errors name the file and the record's offset.
 */
struct img_reader;
MUST_USE int img_open(const struct img_dir *dir, enum img_kind kind, uint64_t id,
		      struct img_reader **ret, struct err *err);
/* 1: a record of the kind's type, in the arena; 0: clean end; negative: broken. */
MUST_USE int img_get(struct img_reader *r, struct arena *a, void *ret_msg, struct err *err);
/* The same for a record of another type that follows (ghost chunks, pagemap entries, ...). */
MUST_USE int img_get_as(struct img_reader *r, const ProtobufCMessageDescriptor *type,
			struct arena *a, void *ret_msg, struct err *err);
/* Extra bytes behind a record: exactly len, or broken. */
MUST_USE int img_get_raw(struct img_reader *r, void *buf, size_t len, struct err *err);
MUST_USE int img_get_raw_arena(struct img_reader *r, struct arena *a, size_t len, void *ret_ptr,
			       struct err *err);
MUST_USE int img_skip_raw(struct img_reader *r, uint64_t len, struct err *err);
/* Where the next unread byte is, and how many are left in the file. */
uint64_t img_tell(const struct img_reader *r);
uint64_t img_left(const struct img_reader *r);
int img_fd(const struct img_reader *r);
void img_reader_free(struct img_reader *r); /* accepts NULL */
/* Exactly one record; absent file or none is ERR_INPUT naming the file. */
MUST_USE int img_read_one(const struct img_dir *dir, enum img_kind kind, uint64_t id,
			  struct arena *a, void *ret_msg, struct err *err);
/* 1 and the record, or 0 when the file is absent or empty. */
MUST_USE int img_read_opt(const struct img_dir *dir, enum img_kind kind, uint64_t id,
			  struct arena *a, void *ret_msg, struct err *err);

static inline void auto_img_reader_(struct img_reader **r)
{
	img_reader_free(*r);
}
static inline void auto_img_writer_(struct img_writer **w)
{
	img_abort(*w);
}
#define auto_img_reader __attribute__((cleanup(auto_img_reader_)))
#define auto_img_writer __attribute__((cleanup(auto_img_writer_)))
