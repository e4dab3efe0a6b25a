/* SPDX-License-Identifier: Apache-2.0 */
/* From the member "extra" of a record to the bytes behind it: payload.h. */
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
#include <string.h>

const char *const payload_members[] = {"extra", NULL};

#define ANY_LENGTH UINT64_MAX

static int wrong_length(uint64_t have, uint64_t wanted, const char *by, struct err *err)
{
	err_input(err, "extra: %" PRIu64 " bytes, but %s says %" PRIu64, have, by, wanted);
	return err_hint(err, "change both alike");
}

/* Bytes in base64: `len` of them, as the field `by` says. */
static int put_base64(struct payload_writer *w, const json_t *v, uint64_t len, const char *by,
		      struct err *err)
{
	uint64_t spooled;
	uint8_t *data;
	size_t n;
	int fd;

	if (split_spool(w->split, v, &fd, &spooled)) {
		if (len != ANY_LENGTH && spooled != len)
			return wrong_length(spooled, len, by, err);
		return output_file(w->out, fd, spooled, err);
	}
	if (!v && len == 0)
		return 0;
	if (!json_is_string(v))
		return err_input(err, "extra: missing, or not a string of base64");
	if (base64_decode(json_string_value(v), w->a, &data, &n, err) < 0)
		return err_in(err, "extra");
	if (len != ANY_LENGTH && n != len)
		return wrong_length(n, len, by, err);
	return output_put(w->out, data, n, err);
}

static int put_pad(struct payload_writer *w, const json_t *entry, uint64_t len, unsigned int align,
		   struct err *err)
{
	const json_t *pad = json_object_get(entry, "@pad");
	size_t n = (size_t)((align - len % align) % align);
	uint8_t zeros[8] = {0}, *data = zeros;
	size_t given = n;

	if (json_is_string(pad))
		TRY(base64_decode(json_string_value(pad), w->a, &data, &given, err));
	if (given != n)
		data = zeros;
	return output_put(w->out, data, n, err);
}

static int encode_tcp(struct payload_writer *w, const json_t *extra, const TcpStreamEntry *e,
		      struct err *err)
{
	TRY(put_base64(w, json_object_get(extra, "inq"), e->inq_len, "inq_len", err));
	return put_base64(w, json_object_get(extra, "outq"), e->outq_len, "outq_len", err);
}

static int encode_sem(struct payload_writer *w, const json_t *entry, const IpcSemEntry *e,
		      struct err *err)
{
	const json_t *extra = json_object_get(entry, "extra"), *v;
	size_t i;

	if (json_array_size(extra) != e->nsems)
		return err_input(err, "extra: %zu values, but nsems says %u",
				 json_array_size(extra), e->nsems);
	json_array_foreach((json_t *)extra, i, v)
	{
		uint16_t value = (uint16_t)json_integer_value(v);

		if (!json_is_integer(v) || json_integer_value(v) != value)
			return err_input(err, "extra[%zu]: not a number of 16 bits", i);
		TRY(output_put(w->out, &value, sizeof(value), err));
	}
	return put_pad(w, entry, (uint64_t)e->nsems * sizeof(uint16_t), 8, err);
}

static int encode_shm(struct payload_writer *w, const json_t *entry, const IpcShmEntry *e,
		      struct err *err)
{
	if (e->has_in_pagemaps && e->in_pagemaps)
		return 0;
	TRY(put_base64(w, json_object_get(entry, "extra"), e->size, "size", err));
	return put_pad(w, entry, e->size, 4, err);
}

static int encode_one_msg(struct payload_writer *w, json_t *head, const json_t *bytes,
			  struct err *err)
{
	uint64_t msize = (uint64_t)json_integer_value(json_object_get(head, "msize"));
	uint8_t *data;
	size_t len;

	TRY(message_pack(head, &ipc_msg__descriptor, NULL, w->shows, w->a, &data, &len, err));
	TRY(output_u32(w->out, (uint32_t)len, err));
	TRY(output_put(w->out, data, len, err));
	TRY(put_base64(w, bytes, msize, "msize", err));
	return put_pad(w, NULL, msize, 8, err);
}

static int encode_msg(struct payload_writer *w, const json_t *extra, const IpcMsgEntry *e,
		      struct err *err)
{
	if (json_array_size(extra) != 2 * (size_t)e->qnum)
		return err_input(err, "extra: %zu values, but qnum says %u messages, of two each",
				 json_array_size(extra), e->qnum);
	for (size_t i = 0; i < e->qnum; i++)
		if (encode_one_msg(w, json_array_get(extra, 2 * i),
				   json_array_get(extra, 2 * i + 1), err) < 0)
			return err_in(err, "extra: message %zu", i);
	return 0;
}

static int encode_ghost(struct payload_writer *w, const json_t *extra, const ProtobufCMessage *msg,
			struct err *err)
{
	const GhostFileEntry *head = (const GhostFileEntry *)msg;

	if (msg->descriptor == &ghost_chunk_entry__descriptor)
		return put_base64(w, extra, ((const GhostChunkEntry *)msg)->len, "len", err);
	if ((head->has_chunks && head->chunks) || !extra)
		return 0;
	return put_base64(w, extra, ANY_LENGTH, "", err);
}

int payload_encode(struct payload_writer *w, const json_t *entry, const ProtobufCMessage *msg,
		   struct err *err)
{
	const json_t *extra = json_object_get(entry, "extra");
	const BpfmapDataEntry *bpf = (const BpfmapDataEntry *)msg;

	switch (w->format->payload) {
	case PAYLOAD_PIPE:
		return put_base64(w, extra, ((const PipeDataEntry *)msg)->bytes, "bytes", err);
	case PAYLOAD_SK_QUEUE:
		return put_base64(w, extra, ((const SkPacketEntry *)msg)->length, "length", err);
	case PAYLOAD_TCP_STREAM:
		return encode_tcp(w, extra, (const TcpStreamEntry *)msg, err);
	case PAYLOAD_BPFMAP:
		return put_base64(w, extra, (uint64_t)bpf->keys_bytes + bpf->values_bytes,
				  "keys_bytes + values_bytes", err);
	case PAYLOAD_SEM:
		return encode_sem(w, entry, (const IpcSemEntry *)msg, err);
	case PAYLOAD_SHM:
		return encode_shm(w, entry, (const IpcShmEntry *)msg, err);
	case PAYLOAD_MSG:
		return encode_msg(w, extra, (const IpcMsgEntry *)msg, err);
	case PAYLOAD_GHOST:
		return encode_ghost(w, extra, msg, err);
	default:
		return extra ? err_input(err, "extra: records of this kind have none") : 0;
	}
}
