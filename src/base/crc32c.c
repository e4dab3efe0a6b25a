/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One crc32 instruction takes 8 bytes and has a latency of three cycles, but a new one can begin in
 * each cycle: three streams side by side run three times as fast as one. A block is three streams
 * of STREAM bytes, which leaves 16 of a page. The sums of the streams are put together by moving
 * one over the STREAM zeroes that the next one stands for: a multiplication by x^(8 * STREAM)
 * modulo the polynomial, of which the crc32 instruction does the reduction.
 */
#include "base/crc32c.h"

#include <pthread.h>
#include <stdbool.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define POLY UINT32_C(0x82f63b78) /* reflected */

/* ----------------------------------------------------------------- by table */

/* Slicing by 8: crc_table[k][b] is what byte b does k bytes further on. Made once, on demand. */
static uint32_t crc_table[8][256];

static void make_table(void)
{
	for (uint32_t b = 0; b < 256; b++) {
		uint32_t c = b;

		for (int bit = 0; bit < 8; bit++)
			c = (c >> 1) ^ (c & 1 ? POLY : 0);
		crc_table[0][b] = c;
	}
	for (size_t b = 0; b < 256; b++)
		for (size_t k = 1; k < 8; k++)
			crc_table[k][b] = (crc_table[k - 1][b] >> 8) ^
					  crc_table[0][crc_table[k - 1][b] & 0xff];
}

uint32_t crc32c_by_table(uint32_t crc, const void *data, size_t len)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	const uint32_t(*t)[256] = crc_table;
	const uint8_t *p = data;
	uint32_t c = ~crc;

	pthread_once(&once, make_table);
	for (; len >= 8; len -= 8, p += 8) {
		uint32_t lo = c ^ ((uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
				   (uint32_t)p[3] << 24);

		c = t[7][lo & 0xff] ^ t[6][lo >> 8 & 0xff] ^ t[5][lo >> 16 & 0xff] ^
		    t[4][lo >> 24] ^ t[3][p[4]] ^ t[2][p[5]] ^ t[1][p[6]] ^ t[0][p[7]];
	}
	for (; len; len--)
		c = (c >> 8) ^ t[0][(c ^ *p++) & 0xff];
	return ~c;
}

/* ------------------------------------------------------------------ algebra */

/*
 * A checksum is a polynomial modulo POLY, the bit 2^31 being x^0. A zero byte multiplies it by x^8,
 * so n of them multiply it by x^8n, of which square and multiply make the power.
 */
#define ONE	 (UINT32_C(1) << 31)
#define ONE_BYTE (UINT32_C(1) << 23) /* x^8 */

static uint32_t times(uint32_t a, uint32_t b)
{
	uint32_t product = 0;

	for (uint32_t bit = ONE; bit; bit >>= 1) {
		if (a & bit)
			product ^= b;
		b = (b >> 1) ^ (b & 1 ? POLY : 0);
	}
	return product;
}

static uint32_t move_over(uint32_t crc, uint64_t len)
{
	for (uint32_t power = ONE_BYTE; len; len >>= 1) {
		if (len & 1)
			crc = times(crc, power);
		power = times(power, power);
	}
	return crc;
}

uint32_t crc32c_zeros(uint32_t crc, uint64_t len)
{
	return ~move_over(~crc, len);
}

uint32_t crc32c_combine(uint32_t first, uint32_t second, uint64_t len)
{
	return move_over(first, len) ^ second;
}

/* ------------------------------------------------------------ by instruction */

#if defined(__x86_64__)

#define STREAM	    1360u	/* bytes */
#define STEP	    80u		/* of all streams, divides STREAM */
#define AHEAD	    4096u	/* the next page, which the streams make hard to foresee */
#define STREAM_MOVE 0x3f70cc6fu /* x^(8 * STREAM - 33) modulo the polynomial, reflected */

__attribute__((target("sse4.2,pclmul"))) static uint64_t move_over_stream(uint64_t crc)
{
	__m128i product = _mm_clmulepi64_si128(_mm_cvtsi64_si128((long long)crc),
					       _mm_cvtsi64_si128(STREAM_MOVE), 0);

	return _mm_crc32_u64(0, (uint64_t)_mm_cvtsi128_si64(product));
}

/* No access, no fault. */
static void prefetch(const uint8_t *p)
{
	for (size_t i = 0; i < 3 * STEP; i += 64)
		__builtin_prefetch(p + AHEAD + i);
}

static uint64_t load64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

__attribute__((target("sse4.2,pclmul"))) static uint32_t crc32c_by_cpu(uint32_t crc,
								       const void *data, size_t len)
{
	const uint8_t *p = data;
	uint64_t a = ~crc;

	for (; len >= 3 * STREAM; len -= 3 * STREAM, p += 3 * STREAM) {
		uint64_t b = 0, c = 0;

		for (size_t step = 0; step < STREAM; step += STEP) {
			prefetch(p + 3 * step);
			for (size_t i = step; i < step + STEP; i += 8) {
				a = _mm_crc32_u64(a, load64(p + i));
				b = _mm_crc32_u64(b, load64(p + STREAM + i));
				c = _mm_crc32_u64(c, load64(p + 2 * STREAM + i));
			}
		}
		a = move_over_stream(move_over_stream(a) ^ b) ^ c;
	}
	for (; len >= 8; len -= 8, p += 8)
		a = _mm_crc32_u64(a, load64(p));
	for (; len; len--)
		a = _mm_crc32_u8((uint32_t)a, *p++);
	return ~(uint32_t)a;
}

uint32_t crc32c(uint32_t crc, const void *data, size_t len)
{
	if (__builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("pclmul"))
		return crc32c_by_cpu(crc, data, len);
	return crc32c_by_table(crc, data, len);
}

#else

uint32_t crc32c(uint32_t crc, const void *data, size_t len)
{
	return crc32c_by_table(crc, data, len);
}

#endif
