/* SPDX-License-Identifier: Apache-2.0 */
/* From bytes behind a record to its member "extra": payload.h. */
#include "image/json/payload.h"

#include "base/auto.h"
#include "image/schema/bpfmap-data.pb-c.h"
#include "image/schema/ghost-file.pb-c.h"
#include "image/schema/ipc-msg.pb-c.h"
#include "image/schema/ipc-sem.pb-c.h"
#include "image/schema/ipc-shm.pb-c.h"
#include "image/schema/pipe-data.pb-c.h"
#include "image/schema/sk-packet.pb-c.h"
#include "image/schema/tcp-stream.pb-c.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define SEM_ALIGN 8
#define MSG_ALIGN 8
#define SHM_ALIGN 4
#define PAD_MAX	  8

static int too_short(const struct payload_reader *r, uint64_t left, struct err *err)
{
	err_input(err,
		  "%s: %s: truncated: the file ends with %" PRIu64 " bytes of its contents missing",
		  r->in->name, r->where, left);
	return err_hint(err, "copy the images again, whole, or take another dump");
}

/* Hands `len` bytes to t as base64, or passes over them; UINT64_MAX: all that are left. */
static int copy(struct payload_reader *r, uint64_t len, bool show, struct err *err)
{
	bool to_end = len == UINT64_MAX;

	while (len) {
		const uint8_t *p;
		int64_t have = input_peek(r->in, &p, err);
		size_t n;

		if (have < 0)
			return (int)have;
		if (have == 0)
			return to_end ? 0 : too_short(r, len, err);
		n = (size_t)MIN((uint64_t)have, len);
		if (show)
			json_base64_put(r->t, p, n);
		input_skip(r->in, n);
		len -= to_end ? 0 : n;
		if (json_text_failed(r->t))
			return json_text_end(r->t, err);
	}
	return 0;
}

static int put_base64(struct payload_reader *r, uint64_t len, struct err *err)
{
	json_base64_open(r->t, /* folded= */ true);
	TRY(copy(r, len, /* show= */ true, err));
	json_base64_shut(r->t);
	return 0;
}

/* "... <10B>", "... <191.3KB>" */
static void put_size(struct payload_reader *r, uint64_t size)
{
	static const char *const units[] = {"B", "KB", "MB", "GB", "TB", "PB", "EB"};
	double value = (double)size;
	size_t unit = 0;
	char text[64];

	for (; value >= 1024 && unit + 1 < ARRAY_SIZE(units); unit++)
		value /= 1024;
	if (value == (double)(uint64_t)value)
		snprintf(text, sizeof(text), "... <%" PRIu64 "%s>", (uint64_t)value, units[unit]);
	else
		snprintf(text, sizeof(text), "... <%.1f%s>", value, units[unit]);
	json_key(r->t, "extra");
	json_str(r->t, text);
}

static int decode_plain(struct payload_reader *r, uint64_t len, struct err *err)
{
	if (r->sizes_only) {
		put_size(r, len);
		return copy(r, len, /* show= */ false, err);
	}
	json_key(r->t, "extra");
	return put_base64(r, len, err);
}

static int decode_tcp(struct payload_reader *r, const TcpStreamEntry *e, struct err *err)
{
	if (r->sizes_only)
		return decode_plain(r, (uint64_t)e->inq_len + e->outq_len, err);
	json_key(r->t, "extra");
	json_open(r->t, '{');
	json_key(r->t, "inq");
	TRY(put_base64(r, e->inq_len, err));
	json_key(r->t, "outq");
	TRY(put_base64(r, e->outq_len, err));
	json_shut(r->t, '}');
	return 0;
}

/* ---------------------------------------------------------------- padding */

static int take_pad(struct payload_reader *r, uint64_t len, unsigned int align,
		    uint8_t pad[PAD_MAX], size_t *ret_n, struct err *err)
{
	int got;

	*ret_n = (size_t)((align - len % align) % align);
	got = *ret_n ? input_take(r->in, pad, *ret_n, err) : 1;
	return got == 0 ? too_short(r, *ret_n, err) : got;
}

static void put_pad(struct payload_reader *r, const uint8_t *pad, size_t n)
{
	static const uint8_t zeros[PAD_MAX];

	if (memcmp(pad, zeros, n) == 0)
		return;
	json_key(r->t, "@pad");
	json_base64(r->t, pad, n, /* folded= */ false);
}

/* ------------------------------------------------------------ SysV objects */

static int decode_sem(struct payload_reader *r, const IpcSemEntry *e, struct err *err)
{
	uint64_t len = (uint64_t)e->nsems * sizeof(uint16_t);
	uint8_t pad[PAD_MAX];
	size_t n;

	if (r->sizes_only) {
		TRY(decode_plain(r, len, err));
		return take_pad(r, len, SEM_ALIGN, pad, &n, err) < 0 ? err->code : 0;
	}
	json_key(r->t, "extra");
	json_open(r->t, '[');
	for (uint32_t i = 0; i < e->nsems; i++) {
		uint16_t value;
		int got = input_take(r->in, &value, sizeof(value), err);

		if (got <= 0)
			return got < 0 ? got : too_short(r, len - 2 * i, err);
		json_u64(r->t, value);
	}
	json_shut(r->t, ']');
	TRY(take_pad(r, len, SEM_ALIGN, pad, &n, err));
	put_pad(r, pad, n);
	return 0;
}

static int decode_shm(struct payload_reader *r, const IpcShmEntry *e, struct err *err)
{
	uint8_t pad[PAD_MAX];
	size_t n;

	/* Their bytes are in pagemap-shmem-ID.img; readers expect the member nevertheless. */
	if (e->has_in_pagemaps && e->in_pagemaps) {
		if (r->sizes_only) {
			put_size(r, e->size);
			return 0;
		}
		json_key(r->t, "extra");
		json_str(r->t, "");
		return 0;
	}
	TRY(decode_plain(r, e->size, err));
	TRY(take_pad(r, e->size, SHM_ALIGN, pad, &n, err));
	put_pad(r, pad, n);
	return 0;
}

/* One message of a queue: its head, unpacked. */
static int take_msg(struct payload_reader *r, IpcMsg **ret, uint32_t *ret_len, struct err *err)
{
	auto_free uint8_t *data = NULL;
	int got = input_take(r->in, ret_len, sizeof(*ret_len), err);

	if (got <= 0)
		return got < 0 ? got : too_short(r, sizeof(*ret_len), err);
	TRY(input_take_new(r->in, *ret_len, &data, err));
	*ret = ipc_msg__unpack(NULL, *ret_len, data);
	return *ret ? 0 : err_input(err, "%s: %s: not a valid ipc_msg", r->in->name, r->where);
}

static int put_msg(struct payload_reader *r, const IpcMsg *m, struct err *err)
{
	uint8_t pad[PAD_MAX];
	size_t n;

	if (r->sizes_only) {
		TRY(copy(r, m->msize, /* show= */ false, err));
		return take_pad(r, m->msize, MSG_ALIGN, pad, &n, err) < 0 ? err->code : 0;
	}
	message_put(r->t, r->shows, &m->base);
	TRY(put_base64(r, m->msize, err));
	TRY(take_pad(r, m->msize, MSG_ALIGN, pad, &n, err));
	if (n && memcmp(pad, (const uint8_t[PAD_MAX]){0}, n) != 0)
		return err_input(err, "%s: %s: bytes between two messages that aren't zero",
				 r->in->name, r->where);
	return 0;
}

static int decode_msg(struct payload_reader *r, const IpcMsgEntry *e, struct err *err)
{
	uint64_t size = 0;

	if (!r->sizes_only) {
		json_key(r->t, "extra");
		json_open(r->t, '[');
	}
	for (uint32_t i = 0; i < e->qnum; i++) {
		IpcMsg *m;
		uint32_t len;
		int done;

		TRY(take_msg(r, &m, &len, err));
		size += len + (uint64_t)m->msize;
		done = put_msg(r, m, err);
		ipc_msg__free_unpacked(m, NULL);
		TRY(done);
	}
	if (r->sizes_only)
		put_size(r, size);
	else
		json_shut(r->t, ']');
	return 0;
}

/* ------------------------------------------------------------------ ghosts */

static int decode_ghost(struct payload_reader *r, const ProtobufCMessage *msg, struct err *err)
{
	const GhostChunkEntry *chunk = (const GhostChunkEntry *)msg;
	const GhostFileEntry *head = (const GhostFileEntry *)msg;
	uint64_t len = UINT64_MAX;

	if (msg->descriptor == &ghost_chunk_entry__descriptor) {
		len = chunk->len;
		if (len == UINT64_MAX)
			return too_short(r, len, err);
	} else if (head->has_chunks && head->chunks) {
		return 0;
	}
	if (r->sizes_only)
		return copy(r, len, /* show= */ false, err);
	json_key(r->t, "extra");
	return put_base64(r, len, err);
}

int payload_decode(struct payload_reader *r, const ProtobufCMessage *msg, struct err *err)
{
	const BpfmapDataEntry *bpf = (const BpfmapDataEntry *)msg;

	switch (r->format->payload) {
	case PAYLOAD_PIPE:
		return decode_plain(r, ((const PipeDataEntry *)msg)->bytes, err);
	case PAYLOAD_SK_QUEUE:
		return decode_plain(r, ((const SkPacketEntry *)msg)->length, err);
	case PAYLOAD_TCP_STREAM:
		return decode_tcp(r, (const TcpStreamEntry *)msg, err);
	case PAYLOAD_BPFMAP:
		return decode_plain(r, (uint64_t)bpf->keys_bytes + bpf->values_bytes, err);
	case PAYLOAD_SEM:
		return decode_sem(r, (const IpcSemEntry *)msg, err);
	case PAYLOAD_SHM:
		return decode_shm(r, (const IpcShmEntry *)msg, err);
	case PAYLOAD_MSG:
		return decode_msg(r, (const IpcMsgEntry *)msg, err);
	case PAYLOAD_GHOST:
		return decode_ghost(r, msg, err);
	default:
		return 0;
	}
}
