/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One image file, to its end: records, and the bytes behind them, which are found by the records'
 * fields. Also kinds that a restore doesn't read. Format facts: ../shared/formats/IMAGES.md.
 */
#include "image/check_each.h"

#include "base/auto.h"
#include "image/schema/bpfmap-data.pb-c.h"
#include "image/schema/ghost-file.pb-c.h"
#include "image/schema/ipc-msg.pb-c.h"
#include "image/schema/ipc-sem.pb-c.h"
#include "image/schema/ipc-shm.pb-c.h"
#include "image/schema/pagemap.pb-c.h"
#include "image/schema/pipe-data.pb-c.h"
#include "image/schema/sk-packet.pb-c.h"
#include "image/schema/tcp-stream.pb-c.h"

#include <inttypes.h>
#include <string.h>

#define RECORDS_AT_ONCE 4096 /* live in one arena */

struct decode {
	struct img_reader *r;
	struct arena *a;
	struct err *err;
};

static uint64_t padded(uint64_t len, uint64_t unit)
{
	return (len + unit - 1) / unit * unit;
}

/* ------------------------------------------------------ bytes behind a record */

static int skip_ghost(struct decode *d, const GhostFileEntry *e)
{
	GhostChunkEntry *chunk;
	int got;

	if (!e->has_chunks || !e->chunks)
		return img_skip_raw(d->r, img_left(d->r), d->err);
	while ((got = img_get_as(d->r, &ghost_chunk_entry__descriptor, d->a, &chunk, d->err)) > 0)
		TRY(img_skip_raw(d->r, chunk->len, d->err));
	return got;
}

static int skip_pagemap(struct decode *d)
{
	PagemapEntry *e;
	int got;

	while ((got = img_get_as(d->r, &pagemap_entry__descriptor, d->a, &e, d->err)) > 0)
		;
	return got;
}

static int skip_messages(struct decode *d, const IpcMsgEntry *e)
{
	IpcMsg *msg;

	for (uint32_t i = 0; i < e->qnum; i++) {
		int got = img_get_as(d->r, &ipc_msg__descriptor, d->a, &msg, d->err);

		if (got == 0)
			return err_input(d->err, "%u messages instead of %u", i, e->qnum);
		TRY(got);
		TRY(img_skip_raw(d->r, padded(msg->msize, 8), d->err));
	}
	return 0;
}

static int skip_shm(struct decode *d, const IpcShmEntry *e)
{
	if (e->size > INT64_MAX)
		return err_input(d->err, "size: %" PRIu64, e->size);
	return e->in_pagemaps ? 0 : img_skip_raw(d->r, padded(e->size, 4), d->err);
}

static int skip_stream(struct decode *d, const TcpStreamEntry *e)
{
	TRY(img_skip_raw(d->r, e->inq_len, d->err));
	return img_skip_raw(d->r, e->outq_len, d->err);
}

static int skip_bpf(struct decode *d, const BpfmapDataEntry *e)
{
	TRY(img_skip_raw(d->r, e->keys_bytes, d->err));
	return img_skip_raw(d->r, e->values_bytes, d->err);
}

static int skip_behind(struct decode *d, enum img_kind kind, const void *msg)
{
	switch (kind) {
	case IMG_PIPES_DATA:
	case IMG_FIFO_DATA:
		return img_skip_raw(d->r, ((const PipeDataEntry *)msg)->bytes, d->err);
	case IMG_SK_QUEUES:
		return img_skip_raw(d->r, ((const SkPacketEntry *)msg)->length, d->err);
	case IMG_GHOST_FILE:
		return skip_ghost(d, msg);
	case IMG_PAGEMAP:
	case IMG_PAGEMAP_SHMEM:
		return skip_pagemap(d);
	case IMG_TCP_STREAM:
		return skip_stream(d, msg);
	case IMG_BPFMAP_DATA:
		return skip_bpf(d, msg);
	case IMG_IPCNS_SHM:
		return skip_shm(d, msg);
	case IMG_IPCNS_MSG:
		return skip_messages(d, msg);
	case IMG_IPCNS_SEM:
		return img_skip_raw(
			d->r, padded((uint64_t)((const IpcSemEntry *)msg)->nsems * 2, 8), d->err);
	case IMG_INTEGRITY:
		return img_skip_raw(d->r, sizeof(uint32_t), d->err);
	default:
		return 0;
	}
}

/* ------------------------------------------------------------------- a file */

/* 1: there may be more. */
static int decode_some(struct decode *d, enum img_kind kind, const char *name)
{
	for (size_t i = 0; i < RECORDS_AT_ONCE; i++) {
		uint64_t at = img_tell(d->r);
		ProtobufCMessage *msg;
		int got = img_get(d->r, d->a, &msg, d->err);

		if (got <= 0)
			return got;
		/* The reader's own errors say where; those from here don't. */
		if (skip_behind(d, kind, msg) < 0)
			return strncmp(d->err->text, name, strlen(name)) == 0
				       ? d->err->code
				       : err_in(d->err, "%s: record at %" PRIu64, name, at);
	}
	return 1;
}

int check_decode(const struct img_dir *dir, enum img_kind kind, uint64_t id, struct err *err)
{
	auto_img_reader struct img_reader *r = NULL;
	char name[IMG_NAME_MAX];
	int more = 1;

	img_name(kind, id, name);
	TRY(img_open(dir, kind, id, &r, err));
	while (r && more > 0) {
		struct decode d = {.r = r, .a = arena_new(), .err = err};

		more = decode_some(&d, kind, name);
		arena_free(d.a);
	}
	return more < 0 ? more : 0;
}
