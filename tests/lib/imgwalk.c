/* SPDX-License-Identifier: Apache-2.0 */
#include "imgwalk.h"

#include "base/auto.h"
#include "base/parse.h"
#include "image/schema/bpfmap-data.pb-c.h"
#include "image/schema/ghost-file.pb-c.h"
#include "image/schema/ipc-msg.pb-c.h"
#include "image/schema/ipc-sem.pb-c.h"
#include "image/schema/ipc-shm.pb-c.h"
#include "image/schema/pagemap.pb-c.h"
#include "image/schema/pipe-data.pb-c.h"
#include "image/schema/sk-packet.pb-c.h"
#include "image/schema/tcp-stream.pb-c.h"

#include <string.h>

struct walk {
	struct img_reader *r;
	enum img_kind kind;
	imgwalk_fn fn;
	void *ctx;
	/* Records of another type that follow the file's own ones. */
	const ProtobufCMessageDescriptor *next;
	uint64_t nnext;
};

static bool has_name(enum img_kind kind, uint64_t id, const char *name)
{
	char other[IMG_NAME_MAX];

	img_name(kind, id, other);
	return strcmp(name, other) == 0;
}

bool imgwalk_kind(const char *name, enum img_kind *ret_kind, uint64_t *ret_id)
{
	const char *dash = strrchr(name, '-'), *digits = dash ? dash + 1 : "";
	uint64_t dec = 0, hex = 0;

	if (!scan_u64(&(const char *){digits}, 10, &dec))
		dec = 0;
	if (!scan_u64(&(const char *){digits}, 16, &hex))
		hex = 0;
	for (enum img_kind k = 0; k < IMG_KIND_MAX; k++) {
		if (!has_name(k, dec, name) && !has_name(k, hex, name))
			continue;
		*ret_kind = k;
		*ret_id = has_name(k, dec, name) ? dec : hex;
		return true;
	}
	return false;
}

static uint64_t round_up(uint64_t n, uint64_t to)
{
	return (n + to - 1) / to * to;
}

static uint64_t ghost_bytes(struct walk *w, const GhostFileEntry *e)
{
	if (!e->has_chunks || !e->chunks)
		return img_left(w->r);
	w->next = &ghost_chunk_entry__descriptor;
	w->nnext = UINT64_MAX;
	return 0;
}

static uint64_t msg_bytes(struct walk *w, const IpcMsgEntry *e)
{
	w->next = &ipc_msg__descriptor;
	w->nnext = e->qnum;
	return 0;
}

static uint64_t pagemap_bytes(struct walk *w)
{
	w->next = &pagemap_entry__descriptor;
	w->nnext = UINT64_MAX;
	return 0;
}

/* What follows a record of the file's own type. */
static uint64_t bytes_behind(struct walk *w, const void *msg)
{
	switch (w->kind) {
	case IMG_PAGEMAP:
	case IMG_PAGEMAP_SHMEM:
		return pagemap_bytes(w);
	case IMG_GHOST_FILE:
	case IMG_MAPPED_FILE:
		return ghost_bytes(w, msg);
	case IMG_PIPES_DATA:
	case IMG_FIFO_DATA:
		return ((const PipeDataEntry *)msg)->bytes;
	case IMG_SK_QUEUES:
		return ((const SkPacketEntry *)msg)->length;
	case IMG_TCP_STREAM:
		return (uint64_t)((const TcpStreamEntry *)msg)->inq_len +
		       ((const TcpStreamEntry *)msg)->outq_len;
	case IMG_BPFMAP_DATA:
		return (uint64_t)((const BpfmapDataEntry *)msg)->keys_bytes +
		       ((const BpfmapDataEntry *)msg)->values_bytes;
	case IMG_IPCNS_SHM:
		if (((const IpcShmEntry *)msg)->in_pagemaps)
			return 0;
		return round_up(((const IpcShmEntry *)msg)->size, 4);
	case IMG_IPCNS_MSG:
		return msg_bytes(w, msg);
	case IMG_INTEGRITY: /* the sum of its own bytes */
		return sizeof(uint32_t);
	case IMG_IPCNS_SEM:
		return round_up(((const IpcSemEntry *)msg)->nsems * UINT64_C(2), 8);
	default:
		return 0;
	}
}

static uint64_t bytes_behind_next(const struct walk *w, const void *msg)
{
	if (w->next == &ghost_chunk_entry__descriptor)
		return ((const GhostChunkEntry *)msg)->len;
	if (w->next == &ipc_msg__descriptor)
		return round_up(((const IpcMsg *)msg)->msize, 8);
	return 0;
}

/* 1: a record; 0: the end. */
static int walk_one(struct walk *w, struct arena *a, struct err *err)
{
	struct imgwalk_record rec = {.at = img_tell(w->r)};
	ProtobufCMessage *msg;
	int got;

	if (w->nnext)
		got = img_get_as(w->r, w->next, a, &msg, err);
	else
		got = img_get(w->r, a, &msg, err);
	if (got <= 0)
		return got;
	rec.msg = msg;
	if (w->nnext) {
		rec.raw = bytes_behind_next(w, msg);
		w->nnext--;
	} else {
		rec.raw = bytes_behind(w, msg);
	}
	TRY(img_skip_raw(w->r, rec.raw, err));
	TRY(w->fn(w->ctx, &rec, err));
	return 1;
}

int imgwalk(const struct img_dir *dir, enum img_kind kind, uint64_t id, imgwalk_fn fn, void *ctx,
	    struct err *err)
{
	auto_img_reader struct img_reader *r = NULL;
	struct walk w = {.kind = kind, .fn = fn, .ctx = ctx};
	int got = 1;

	TRY(img_open(dir, kind, id, &r, err));
	w.r = r;
	while (r && got > 0) {
		struct arena *a = arena_new();

		got = walk_one(&w, a, err);
		arena_free(a);
	}
	return got;
}
