/* SPDX-License-Identifier: Apache-2.0 */
/* CRC32C: known answers, and the CPU's way against the table's. */
#include "base/crc32c.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* RFC 3720 B.4, and the check value of the catalogues. */
static void known_answers(void **state)
{
	uint8_t b[32];

	assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283);
	assert_int_equal(crc32c(0, "", 0), 0);
	memset(b, 0, sizeof(b));
	assert_int_equal(crc32c(0, b, sizeof(b)), 0x8a9136aa);
	memset(b, 0xff, sizeof(b));
	assert_int_equal(crc32c(0, b, sizeof(b)), 0x62a8ab43);
	for (uint8_t i = 0; i < sizeof(b); i++)
		b[i] = i;
	assert_int_equal(crc32c(0, b, sizeof(b)), 0x46dd794e);
	assert_int_equal(crc32c_by_table(0, b, sizeof(b)), 0x46dd794e);
}

static void any_length_from_any_place(void **state)
{
	enum { LEN = 3 * 4096 };
	uint8_t *data = malloc(LEN);
	uint32_t seed = 1;

	for (size_t i = 0; i < LEN; i++) {
		seed = seed * 1664525 + 1013904223;
		data[i] = (uint8_t)(seed >> 24);
	}
	for (size_t at = 0; at < 9; at++)
		for (size_t len = 0; at + len <= LEN; len += 1 + len / 64)
			assert_int_equal(crc32c(seed, data + at, len),
					 crc32c_by_table(seed, data + at, len));
	free(data);
}

static void a_sum_can_be_continued(void **state)
{
	uint8_t data[9000];

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * i >> 3);
	for (size_t cut = 0; cut <= sizeof(data); cut += 97)
		assert_int_equal(crc32c(crc32c(0, data, cut), data + cut, sizeof(data) - cut),
				 crc32c(0, data, sizeof(data)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_answers),
		cmocka_unit_test(any_length_from_any_place),
		cmocka_unit_test(a_sum_can_be_continued),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
