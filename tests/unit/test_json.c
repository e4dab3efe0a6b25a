/* SPDX-License-Identifier: Apache-2.0 */
/* Images as JSON: the text's form, odd bytes that have to survive, edits, and bad texts. */
#include "image/json/json.h"

#include "base/arena.h"
#include "base/auto.h"
#include "base/io.h"
#include "image/json/message.h"
#include "image/json/quoted.h"

#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cmocka.h>

static int file_of(const void *data, size_t len)
{
	int fd = memfd_create("test", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(io_pwrite_full(fd, data, len, 0), 0);
	return fd;
}

static char *contents(int fd, size_t *ret_len)
{
	struct stat st;
	char *data;

	assert_int_equal(fstat(fd, &st), 0);
	data = xcalloc(1, (size_t)st.st_size + 1);
	assert_int_equal(io_pread_full(fd, data, (size_t)st.st_size, 0), 0);
	*ret_len = (size_t)st.st_size;
	return data;
}

static char *decode_as(const void *image, size_t len, const char *name, bool pretty)
{
	auto_close int in = file_of(image, len), out = file_of("", 0);
	struct err err = ERR_INIT;
	size_t n;
	struct json_job job = {.in_fd = in, .out_fd = out, .name = name, .pretty = pretty};

	if (json_decode_image(&job, &err) < 0)
		fail_msg("decode: %s", err.text);
	return contents(out, &n);
}

static char *decode(const void *image, size_t len)
{
	return decode_as(image, len, "x.img", false);
}

static int try_encode(const char *text, struct err *err, char **ret, size_t *ret_len)
{
	auto_close int in = file_of(text, strlen(text)), out = file_of("", 0);
	struct json_job job = {.in_fd = in, .out_fd = out, .name = "text"};
	int r = json_encode_image(&job, err);

	*ret = r < 0 ? NULL : contents(out, ret_len);
	return r;
}

static void assert_encodes(const char *text, const void *image, size_t len)
{
	struct err err = ERR_INIT;
	auto_free char *data = NULL;
	size_t n = 0;

	if (try_encode(text, &err, &data, &n) < 0)
		fail_msg("encode: %s\n%s", err.text, text);
	assert_int_equal(n, len);
	assert_memory_equal(data, image, len);
}

/* A pstree.img around one record. */
struct image {
	uint8_t data[4096];
	size_t len;
};

static struct image pstree_with(const void *record, size_t len)
{
	static const uint8_t head[] = {0x19, 0x43, 0x56, 0x54, 0x30, 0x30, 0x27, 0x50};
	struct image im = {.len = sizeof(head) + 4 + len};
	uint32_t word = (uint32_t)len;

	memcpy(im.data, head, sizeof(head));
	memcpy(im.data + sizeof(head), &word, 4);
	memcpy(im.data + sizeof(head) + 4, record, len);
	return im;
}

#define PSTREE(...)                                                                                \
	pstree_with((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

/* -------------------------------------------------------------------- form */

static void test_plain_form(void **state)
{
	struct image im = PSTREE(8, 5, 16, 0, 24, 5, 32, 5, 40, 5, 40, 6);
	auto_free char *text = decode(im.data, im.len);

	assert_string_equal(text, "{\"magic\": \"PSTREE\", \"entries\": [{\"pid\": 5, \"ppid\": 0, "
				  "\"pgid\": 5, \"sid\": 5, \"threads\": [5, 6]}]}");
	assert_encodes(text, im.data, im.len);
}

static void test_pretty_form(void **state)
{
	struct image im = PSTREE(8, 5, 16, 0, 24, 5, 32, 5, 40, 5);
	auto_free char *text = decode_as(im.data, im.len, "x.img", true);

	assert_string_equal(text, "{\n    \"magic\": \"PSTREE\",\n    \"entries\": [\n        {\n"
				  "            \"pid\": 5,\n            \"ppid\": 0,\n"
				  "            \"pgid\": 5,\n            \"sid\": 5,\n"
				  "            \"threads\": [\n                5\n            ]\n"
				  "        }\n    ]\n}");
	assert_encodes(text, im.data, im.len);
}

static char *text_of(const char *s)
{
	struct err err = ERR_INIT;
	struct json_text t;

	json_text_init(&t, -1, false);
	json_str(&t, s);
	assert_int_equal(json_text_end(&t, &err), 0);
	return t.buf;
}

static void test_escapes(void **state)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
		{"", "\"\""},
		{"a\"b\\c/d", "\"a\\\"b\\\\c/d\""},
		{"\b\f\n\r\t\x01\x1f\x7f", "\"\\b\\f\\n\\r\\t\\u0001\\u001f\\u007f\""},
		{"\xc3\xa4\xe2\x82\xac", "\"\\u00e4\\u20ac\""},
		{"\xf0\x9f\x98\x80", "\"\\ud83d\\ude00\""},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		auto_free char *text = text_of(cases[i].in);

		assert_string_equal(text, cases[i].out);
	}
}

static void test_what_is_text(void **state)
{
	assert_true(json_is_text("plain \xc3\xa4", 8));
	assert_false(json_is_text("a\0b", 3));
	assert_false(json_is_text("\xff", 1));
	assert_false(json_is_text("\xc0\x80", 2));     /* overlong */
	assert_false(json_is_text("\xed\xa0\x80", 3)); /* a surrogate */
	assert_false(json_is_text("\xf4\x90\x80\x80", 4));
	assert_false(json_is_text("\xe2\x82", 2)); /* cut off */
}

static void test_base64(void **state)
{
	uint8_t data[300];
	struct arena *a = arena_new();

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 7);
	for (size_t len = 0; len <= sizeof(data); len++) {
		struct err err = ERR_INIT;
		struct json_text t;
		uint8_t *back;
		size_t n;

		json_text_init(&t, -1, false);
		json_base64_open(&t, true);
		for (size_t at = 0; at < len; at += 13)
			json_base64_put(&t, data + at, MIN((size_t)13, len - at));
		json_base64_shut(&t);
		assert_int_equal(json_text_end(&t, &err), 0);
		/* Each line of 76 characters ends with a line break, the last one too. */
		assert_int_equal(t.len, 2 + (len + 2) / 3 * 4 + (len + 56) / 57 * 2);
		for (char *p = t.buf; (p = strstr(p, "\\n"));)
			p[0] = p[1] = ' ';
		t.buf[t.len - 1] = '\0';
		assert_int_equal(base64_decode(t.buf + 1, a, &back, &n, &err), 0);
		assert_int_equal(n, len);
		assert_memory_equal(back, data, len);
		json_text_done(&t);
	}
	arena_free(a);
}

/* As Python's codecs.encode(x, "quopri") has it. */
static void test_quoted_printable(void **state)
{
	static const struct {
		const char *in;
		size_t len;
		const char *out;
	} cases[] = {
		{"\0zoo abs\t=x\n.", 13, "=00zoo=20abs=09=3Dx\n=2E"},
		{"/run/sock\0", 10, "/run/sock=00"},
		{"aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffgggggggggghhhhhhhhhh",
		 80,
		 "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffgggggggggghhhhh=\nhhhhh"},
		{"\xff\xfe", 2, "=FF=FE"},
	};
	struct arena *a = arena_new();

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char *text = quoted_encode(a, (const uint8_t *)cases[i].in, cases[i].len);
		uint8_t *back;
		size_t n;

		assert_string_equal(text, cases[i].out);
		assert_true(quoted_decode(a, text, &back, &n));
		assert_int_equal(n, cases[i].len);
		assert_memory_equal(back, cases[i].in, n);
	}
	arena_free(a);
}

/* ---------------------------------------------------------- what survives */

static void assert_survives(const struct image *im, const char *part)
{
	for (int pretty = 0; pretty < 2; pretty++) {
		auto_free char *text = decode_as(im->data, im->len, "x.img", pretty);

		if (!strstr(text, part))
			fail_msg("%s isn't in %s", part, text);
		assert_encodes(text, im->data, im->len);
	}
}

static void test_unknown_fields(void **state)
{
	/* 200: a varint; 201: 64 bits; 202: bytes; 203: 32 bits; 200 again */
	struct image im = PSTREE(8, 5, 16, 0, 24, 5, 32, 5, 0xc0, 12, 0x96, 1, 0xc9, 12, 1, 2, 3, 4,
				 5, 6, 7, 8, 0xd2, 12, 2, 'h', 'i', 0xdd, 12, 1, 0, 0, 0);

	assert_survives(&im, "\"#200\": 150");
	assert_survives(&im, "\"fixed64\": 578437695752307201");
	assert_survives(&im, "\"bytes\": \"aGk=\"");
	assert_survives(&im, "\"fixed32\": 1");
}

static void test_unknown_in_the_middle(void **state)
{
	struct image im = PSTREE(8, 5, 0xc0, 12, 9, 16, 0, 24, 5, 32, 5);

	assert_survives(&im, "\"@wire\"");
}

static void test_odd_wire_forms(void **state)
{
	/* a varint with a byte too many; a field twice; packed; another order */
	struct image longer = PSTREE(8, 0x85, 0, 16, 0, 24, 5, 32, 5);
	struct image twice = PSTREE(8, 4, 8, 5, 16, 0, 24, 5, 32, 5);
	struct image packed = PSTREE(8, 5, 16, 0, 24, 5, 32, 5, 42, 2, 5, 6);
	struct image order = PSTREE(32, 5, 24, 5, 16, 0, 8, 5);

	assert_survives(&longer, "\"@wire\"");
	assert_survives(&twice, "\"@wire\"");
	assert_survives(&packed, "\"@wire\"");
	assert_survives(&order, "\"@wire\"");
}

/* Who edits a field of such a record gets what was asked for. */
static void test_edited_wire(void **state)
{
	struct image order = PSTREE(32, 5, 24, 5, 16, 0, 8, 5);
	struct image wanted = PSTREE(8, 7, 16, 0, 24, 5, 32, 5);
	auto_free char *text = decode(order.data, order.len);
	char *at = strstr(text, "\"pid\": 5");

	assert_non_null(at);
	at[7] = '7';
	assert_encodes(text, wanted.data, wanted.len);
}

static void test_old_head(void **state)
{
	static const uint8_t image[] = {0x30, 0x30, 0x27, 0x50, 8,  0, 0,  0,
					8,    5,    16,	  0,	24, 5, 32, 5};
	auto_free char *text = decode(image, sizeof(image));

	assert_non_null(strstr(text, "\"head\": \"none\""));
	assert_encodes(text, image, sizeof(image));
}

static void test_big_numbers(void **state)
{
	/* rlimit_entry {cur, max}: RLIM_INFINITY is all ones */
	static const char text[] = "{\"magic\": \"RLIMIT\", \"entries\": [{\"cur\": "
				   "18446744073709551615, \"max\": 9223372036854775808}]}";
	struct err err = ERR_INIT;
	auto_free char *image = NULL, *again = NULL;
	size_t n;

	assert_int_equal(try_encode(text, &err, &image, &n), 0);
	again = decode(image, n);
	assert_string_equal(again, text);
}

static void test_strings_that_are_no_text(void **state)
{
	/* utsns_entry {nodename, domainname} */
	static const uint8_t image[] = {0x19, 0x43, 0x56, 0x54, 0x03, 0x32, 0x47, 0x54, 8,   0,
					0,    0,    10,	  2,	0xff, 0xfe, 18,	  2,	'd', 'n'};
	auto_free char *text = decode(image, sizeof(image));

	assert_string_equal(text, "{\"magic\": \"UTSNS\", \"entries\": [{\"nodename\": {\"bytes\": "
				  "\"//4=\"}, \"domainname\": \"dn\"}]}");
	assert_encodes(text, image, sizeof(image));
}

/* ------------------------------------------------------------------ people */

static void test_words_of_people(void **state)
{
	static const char text[] =
		"{\"magic\":\"VMAS\",\"entries\":[{\"start\":\"0x1000\",\"end\":\"0x2000\",\"pgoff\":0,"
		"\"shmid\":0,\"prot\":\"PROT_READ | PROT_WRITE\",\"flags\":\"MAP_PRIVATE|MAP_ANON|0x4000\","
		"\"status\":\"VMA_AREA_REGULAR | VMA_ANON_PRIVATE\",\"fd\":-1}]}";
	struct err err = ERR_INIT;
	auto_free char *image = NULL, *plain = NULL;
	size_t n;

	assert_int_equal(try_encode(text, &err, &image, &n), 0);
	plain = decode(image, n);
	assert_string_equal(plain,
			    "{\"magic\": \"VMAS\", \"entries\": [{\"start\": 4096, \"end\": "
			    "8192, \"pgoff\": 0, \"shmid\": 0, \"prot\": 3, \"flags\": 16418, "
			    "\"status\": 513, \"fd\": -1}]}");
}

/* -------------------------------------------------------------- raw images */

static void assert_raw(const char *name, const void *data, size_t len, const char *part)
{
	auto_free char *text = decode_as(data, len, name, false);

	if (!strstr(text, part))
		fail_msg("%s isn't in %s", part, text);
	assert_encodes(text, data, len);
}

static void test_raw_images(void **state)
{
	static uint8_t pages[3 * 65536 + 100];
	static const uint8_t message[] = {20, 0, 0, 0, 24, 0, 2, 0, 1, 0,
					  0,  0, 9, 0, 0,  0, 1, 2, 3, 4};

	pages[70000] = 1;
	assert_raw("pages-1.img", pages, sizeof(pages), "\"zeros\": 65536");
	assert_raw("nftables-1.img", "table inet x {\n}\n", 17,
		   "{\"text\": \"table inet x {\\n\"}");
	assert_raw("sums-1.img", "\1\0\0\0\2\0\0\0", 8, "\"crc32c\": [1, 2]");
	assert_raw("sums-1.img", "\1\0\0\0\3", 5, "\"extra\"");
	assert_raw("netns-ct-1.img", message, sizeof(message), "\"type\": 24");
	/* What doesn't parse is bytes. */
	assert_raw("netns-ct-1.img", message, 15, "\"extra\"");
	assert_raw("iptables-1.img", "", 0, "\"entries\": []");
}

/* --------------------------------------------------------------- bad texts */

static void test_refused_texts(void **state)
{
	static const struct {
		const char *text, *says;
	} cases[] = {
		{"", "object"},
		{"[1]", "object"},
		{"{\"magic\": \"PSTREE\"", "too early"},
		{"{\"entries\": []}", "magic"},
		{"{\"magic\": \"PSTREE\"}", "entries"},
		{"{\"magic\": \"NOPE\", \"entries\": []}", "No handler"},
		{"{\"magic\": 3, \"entries\": []}", "magic"},
		{"{\"magic\": \"PSTREE\", \"entries\": [{}]}", "pid: missing"},
		{"{\"magic\": \"PSTREE\", \"entries\": [3]}", "entry 0"},
		{"{\"magic\": \"PSTREE\", \"entries\": [{\"pid\": -1, \"ppid\": 0, \"pgid\": 0, "
		 "\"sid\": 0}]}",
		 "pid"},
		{"{\"magic\": \"PSTREE\", \"entries\": [{\"pid\": 4294967296, \"ppid\": 0, "
		 "\"pgid\": 0, \"sid\": 0}]}",
		 "32 bits"},
		{"{\"magic\": \"PSTREE\", \"entries\": [{\"pid\": 1, \"ppid\": 0, \"pgid\": 0, "
		 "\"sid\": 0, \"typo\": 0}]}",
		 "typo"},
		{"{\"magic\": \"PIPES_DATA\", \"entries\": [{\"pipe_id\": 1, \"bytes\": 5, "
		 "\"extra\": \"aGk=\"}]}",
		 "2 bytes"},
		{"{\"magic\": \"PIPES_DATA\", \"entries\": [{\"pipe_id\": 1, \"bytes\": 2, "
		 "\"extra\": \"a*k=\"}]}",
		 "base64"},
		{"{\"magic\": \"PSTREE\", \"entries\": []} x", "behind the end"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct err err = ERR_INIT;
		auto_free char *image = NULL;
		size_t n;

		assert_true(try_encode(cases[i].text, &err, &image, &n) < 0);
		if (!strstr(err.text, cases[i].says))
			fail_msg("%s: '%s' says nothing of '%s'", cases[i].text, err.text,
				 cases[i].says);
	}
}

static void assert_refused_image(const void *data, size_t len, const char *says)
{
	auto_close int in = file_of(data, len), out = file_of("", 0);
	struct json_job job = {.in_fd = in, .out_fd = out, .name = "x.img"};
	struct err err = ERR_INIT;

	assert_true(json_decode_image(&job, &err) < 0);
	if (!strstr(err.text, says))
		fail_msg("'%s' says nothing of '%s'", err.text, says);
}

static void test_refused_images(void **state)
{
	struct image im = PSTREE(8, 5, 16, 0, 24, 5, 32, 5);

	for (size_t len = 0; len < im.len; len++)
		if (len != 8)
			assert_refused_image(im.data, len, "truncated");
	assert_refused_image("GIF89a..", 8, "Unknown magic");
	im.data[8] = 0xff; /* the record's length */
	im.data[11] = 0x7f;
	assert_refused_image(im.data, im.len, "more than any record");
	im = PSTREE(8, 5, 16, 0, 24, 5);
	assert_refused_image(im.data, im.len, "sid");
}

/* ------------------------------------------------------------ long strings */

/* So long that they go through files. */
static void test_long_payload(void **state)
{
	static const uint8_t head[] = {0x19, 0x43, 0x56, 0x54, 0x09, 0x37, 0x45, 0x56,
				       6,    0,	   0,	 0,    8,    1,	   16};
	const uint32_t bytes = 2000001; /* a varint of three bytes */
	size_t len = sizeof(head) + 3 + bytes;
	auto_free uint8_t *image = xcalloc(1, len);
	auto_free char *text = NULL;

	memcpy(image, head, sizeof(head));
	image[sizeof(head)] = (uint8_t)(bytes | 0x80);
	image[sizeof(head) + 1] = (uint8_t)(bytes >> 7 | 0x80);
	image[sizeof(head) + 2] = (uint8_t)(bytes >> 14);
	for (uint32_t i = 0; i < bytes; i++)
		image[sizeof(head) + 3 + i] = (uint8_t)(i * 2654435761u >> 24);
	text = decode(image, len);
	assert_true(strlen(text) > bytes / 3 * 4);
	assert_encodes(text, image, len);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain_form),
		cmocka_unit_test(test_pretty_form),
		cmocka_unit_test(test_escapes),
		cmocka_unit_test(test_what_is_text),
		cmocka_unit_test(test_base64),
		cmocka_unit_test(test_quoted_printable),
		cmocka_unit_test(test_unknown_fields),
		cmocka_unit_test(test_unknown_in_the_middle),
		cmocka_unit_test(test_odd_wire_forms),
		cmocka_unit_test(test_edited_wire),
		cmocka_unit_test(test_old_head),
		cmocka_unit_test(test_big_numbers),
		cmocka_unit_test(test_strings_that_are_no_text),
		cmocka_unit_test(test_words_of_people),
		cmocka_unit_test(test_raw_images),
		cmocka_unit_test(test_refused_texts),
		cmocka_unit_test(test_refused_images),
		cmocka_unit_test(test_long_payload),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
