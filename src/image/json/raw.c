/* SPDX-License-Identifier: Apache-2.0 */
#include "image/json/raw.h"

#include "base/auto.h"
#include "base/parse.h"
#include "image/json/message.h"

#include <inttypes.h>
#include <linux/netlink.h>
#include <string.h>

#define PIECE (64 * 1024)
#define WORDS 1024

enum shape { SHAPE_BYTES, SHAPE_WORDS, SHAPE_TEXT, SHAPE_NETLINK, SHAPE_IPROUTE };

struct raw_kind {
	const char *prefix; /* of the name, with the dash */
	const char *kind;
	enum shape shape;
};

static const struct raw_kind kinds[] = {
	{"pages-", "pages", SHAPE_BYTES},	    {"sums-", "sums", SHAPE_WORDS},
	{"iptables-", "iptables", SHAPE_TEXT},	    {"ip6tables-", "ip6tables", SHAPE_TEXT},
	{"nftables-", "nftables", SHAPE_TEXT},	    {"ifaddr-", "ifaddr", SHAPE_IPROUTE},
	{"route-", "route", SHAPE_IPROUTE},	    {"route6-", "route6", SHAPE_IPROUTE},
	{"rule-", "rule", SHAPE_IPROUTE},	    {"netns-ct-", "netns-ct", SHAPE_NETLINK},
	{"netns-exp-", "netns-exp", SHAPE_NETLINK}, {"tmpfs-dev-", "tmpfs-dev", SHAPE_BYTES},
	{"tmpfs-", "tmpfs", SHAPE_BYTES},
};

const struct raw_kind *raw_kind_of(const char *name)
{
	const char *slash = strrchr(name, '/');

	name = slash ? slash + 1 : name;
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (str_after(name, kinds[i].prefix))
			return &kinds[i];
	return NULL;
}

struct raw {
	struct input *in;
	struct json_text *t;
	bool sizes_only;
	uint8_t piece[PIECE];
	size_t len; /* of what is in piece, unwritten */
	int64_t count;
};

/* As many bytes into piece as fit and there are. */
static int fill(struct raw *r, size_t want, struct err *err)
{
	while (r->len < want) {
		const uint8_t *p;
		int64_t have = input_peek(r->in, &p, err);
		size_t n;

		if (have <= 0)
			return (int)have;
		n = MIN((size_t)have, want - r->len);
		memcpy(r->piece + r->len, p, n);
		input_skip(r->in, n);
		r->len += n;
	}
	return 0;
}

static bool all_zeros(const uint8_t *p, size_t n)
{
	return n == 0 || (p[0] == 0 && memcmp(p, p + 1, n - 1) == 0);
}

static void put_size(struct raw *r, const char *key, size_t n)
{
	json_key(r->t, key);
	json_u64(r->t, n);
}

static void put_extra(struct raw *r, const uint8_t *p, size_t n)
{
	if (r->sizes_only) {
		put_size(r, "bytes", n);
		return;
	}
	json_key(r->t, "extra");
	json_base64(r->t, p, n, /* folded= */ true);
}

static void open_entry(struct raw *r)
{
	json_open(r->t, '{');
	r->count++;
}

/* What is in piece, as it is. */
static void put_piece(struct raw *r)
{
	open_entry(r);
	json_key(r->t, "offset");
	json_u64(r->t, r->in->off - r->len);
	if (all_zeros(r->piece, r->len))
		put_size(r, "zeros", r->len);
	else
		put_extra(r, r->piece, r->len);
	json_shut(r->t, '}');
	r->len = 0;
}

static int decode_bytes(struct raw *r, struct err *err)
{
	for (;;) {
		TRY(fill(r, PIECE, err));
		if (!r->len)
			return 0;
		put_piece(r);
		if (json_text_failed(r->t))
			return json_text_end(r->t, err);
	}
}

/* ---------------------------------------------------------------- numbers */

static int decode_words(struct raw *r, struct err *err)
{
	uint32_t word;

	for (;;) {
		TRY(fill(r, WORDS * sizeof(word), err));
		if (r->len % sizeof(word))
			put_piece(r); /* the end is cut off */
		if (!r->len)
			return 0;
		open_entry(r);
		json_key(r->t, "crc32c");
		json_open(r->t, '[');
		for (size_t i = 0; i < r->len; i += sizeof(word)) {
			memcpy(&word, r->piece + i, sizeof(word));
			json_u64(r->t, word);
		}
		json_shut(r->t, ']');
		json_shut(r->t, '}');
		r->len = 0;
	}
}

/* ------------------------------------------------------------------- text */

static void put_line(struct raw *r, size_t n)
{
	char line[PIECE + 1];

	open_entry(r);
	memcpy(line, r->piece, n);
	line[n] = '\0';
	if (json_is_text(line, n)) {
		json_key(r->t, "text");
		json_str(r->t, line);
	} else {
		put_extra(r, r->piece, n);
	}
	json_shut(r->t, '}');
	memmove(r->piece, r->piece + n, r->len - n);
	r->len -= n;
}

static int decode_text(struct raw *r, struct err *err)
{
	for (;;) {
		const uint8_t *end;

		TRY(fill(r, PIECE, err));
		if (!r->len)
			return 0;
		end = memchr(r->piece, '\n', r->len);
		put_line(r, end ? (size_t)(end - r->piece) + 1 : r->len);
	}
}

/* ---------------------------------------------------------------- netlink */

static void put_netlink(struct raw *r, const struct nlmsghdr *h)
{
	open_entry(r);
	put_size(r, "len", h->nlmsg_len);
	put_size(r, "type", h->nlmsg_type);
	put_size(r, "flags", h->nlmsg_flags);
	put_size(r, "seq", h->nlmsg_seq);
	put_size(r, "pid", h->nlmsg_pid);
	put_extra(r, r->piece + sizeof(*h), r->len - sizeof(*h));
	json_shut(r->t, '}');
	r->len = 0;
}

static int decode_netlink(struct raw *r, struct err *err)
{
	struct nlmsghdr h;

	for (;;) {
		TRY(fill(r, sizeof(h), err));
		if (!r->len)
			return 0;
		memset(&h, 0, sizeof(h));
		memcpy(&h, r->piece, MIN(r->len, sizeof(h)));
		if (h.nlmsg_len < sizeof(h) || h.nlmsg_len > PIECE)
			return decode_bytes(r, err); /* not a message: as it is */
		TRY(fill(r, h.nlmsg_len, err));
		if (r->len < h.nlmsg_len)
			return decode_bytes(r, err);
		put_netlink(r, &h);
	}
}

static int decode_iproute(struct raw *r, struct err *err)
{
	uint32_t word;

	TRY(fill(r, sizeof(word), err));
	if (r->len < sizeof(word))
		return decode_bytes(r, err);
	memcpy(&word, r->piece, sizeof(word));
	r->len = 0;
	open_entry(r);
	put_size(r, "word", word);
	json_shut(r->t, '}');
	return decode_netlink(r, err);
}

static int decode_entries(struct raw *r, enum shape shape, struct err *err)
{
	switch (shape) {
	case SHAPE_WORDS:
		return decode_words(r, err);
	case SHAPE_TEXT:
		return decode_text(r, err);
	case SHAPE_NETLINK:
		return decode_netlink(r, err);
	case SHAPE_IPROUTE:
		return decode_iproute(r, err);
	default:
		return decode_bytes(r, err);
	}
}

int64_t raw_decode(const struct raw_kind *kind, struct input *in, struct json_text *t,
		   bool sizes_only, struct err *err)
{
	auto_free struct raw *r = xcalloc(1, sizeof(*r));

	r->in = in;
	r->t = t;
	r->sizes_only = sizes_only;
	json_open(t, '{');
	json_key(t, "magic");
	json_str(t, RAW_MAGIC);
	json_key(t, "kind");
	json_str(t, kind->kind);
	json_key(t, "entries");
	json_open(t, '[');
	TRY(decode_entries(r, kind->shape, err));
	json_shut(t, ']');
	json_shut(t, '}');
	return r->count;
}

/* --------------------------------------------------------------- encoding */

static int number(const json_t *entry, const char *key, uint64_t max, uint64_t *ret,
		  struct err *err)
{
	const json_t *v = json_object_get(entry, key);

	if (!json_is_integer(v) || json_integer_value(v) < 0 ||
	    (uint64_t)json_integer_value(v) > max)
		return err_input(err, "%s: missing, or not a number up to %" PRIu64, key, max);
	*ret = (uint64_t)json_integer_value(v);
	return 0;
}

static int extra_bytes(const json_t *entry, struct arena *a, uint8_t **ret, size_t *ret_len,
		       struct err *err)
{
	const json_t *v = json_object_get(entry, "extra");

	if (!json_is_string(v))
		return err_input(err, "extra: missing, or not a string of base64");
	return base64_decode(json_string_value(v), a, ret, ret_len, err);
}

static int encode_zeros(const json_t *entry, struct output *out, struct err *err)
{
	static const uint8_t zeros[16 * 1024];
	uint64_t left;

	TRY(number(entry, "zeros", INT64_MAX, &left, err));
	while (left) {
		size_t n = (size_t)MIN(left, (uint64_t)sizeof(zeros));

		TRY(output_put(out, zeros, n, err));
		left -= n;
	}
	return 0;
}

static int encode_words(const json_t *words, struct output *out, struct err *err)
{
	const json_t *v;
	size_t i;

	json_array_foreach((json_t *)words, i, v)
	{
		if (!json_is_integer(v) || json_integer_value(v) < 0 ||
		    json_integer_value(v) > UINT32_MAX)
			return err_input(err, "crc32c[%zu]: not a number of 32 bits", i);
		TRY(output_u32(out, (uint32_t)json_integer_value(v), err));
	}
	return 0;
}

static int encode_netlink(const json_t *entry, struct output *out, struct arena *a, struct err *err)
{
	uint64_t len, type, flags, seq, pid;
	struct nlmsghdr h;
	uint8_t *data;
	size_t n;

	TRY(number(entry, "len", UINT32_MAX, &len, err));
	TRY(number(entry, "type", UINT16_MAX, &type, err));
	TRY(number(entry, "flags", UINT16_MAX, &flags, err));
	TRY(number(entry, "seq", UINT32_MAX, &seq, err));
	TRY(number(entry, "pid", UINT32_MAX, &pid, err));
	TRY(extra_bytes(entry, a, &data, &n, err));
	if (len != n + sizeof(h))
		return err_input(err, "len: %" PRIu64 ", but with its head the message has %zu",
				 len, n + sizeof(h));
	h = (struct nlmsghdr){(uint32_t)len, (uint16_t)type, (uint16_t)flags, (uint32_t)seq,
			      (uint32_t)pid};
	TRY(output_put(out, &h, sizeof(h), err));
	return output_put(out, data, n, err);
}

int raw_encode_entry(const json_t *entry, const struct split *split, struct output *out,
		     struct arena *a, struct err *err)
{
	const json_t *text = json_object_get(entry, "text");
	uint64_t word, len;
	uint8_t *data;
	size_t n;
	int fd;

	if (json_is_string(text))
		return output_put(out, json_string_value(text), json_string_length(text), err);
	if (json_object_get(entry, "zeros"))
		return encode_zeros(entry, out, err);
	if (json_object_get(entry, "crc32c"))
		return encode_words(json_object_get(entry, "crc32c"), out, err);
	if (json_object_get(entry, "word")) {
		TRY(number(entry, "word", UINT32_MAX, &word, err));
		return output_u32(out, (uint32_t)word, err);
	}
	if (json_object_get(entry, "type"))
		return encode_netlink(entry, out, a, err);
	if (split_spool(split, json_object_get(entry, "extra"), &fd, &len))
		return output_file(out, fd, len, err);
	TRY(extra_bytes(entry, a, &data, &n, err));
	return output_put(out, data, n, err);
}
