/* SPDX-License-Identifier: Apache-2.0 */
#include "inspect/map_text.h"

#include <stdbool.h>
#include <string.h>

/* Length of the character at s, and what it is; 0: not UTF-8. The string's end stops it. */
static size_t read_char(const unsigned char *s, uint32_t *ret)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	size_t n = s[0] < 0x80 ? 1 : s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
	uint32_t c = n == 1 ? s[0] : s[0] & (0x7fu >> n);

	if (s[0] > 0xf4)
		return 0;
	for (size_t i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (s[i] & 0x3f);
	}
	if (n > 1 && (c < least[n] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000)))
		return 0;
	*ret = c;
	return n;
}

/* Can it be in XML, and be seen for what it is? */
static bool is_harmless(uint32_t c)
{
	if (c < 0x20 || (c >= 0x7f && c < 0xa0))
		return false;
	if ((c & 0xfffe) == 0xfffe || (c >= 0xfdd0 && c <= 0xfdef))
		return false; /* not characters */
	if (c == 0x2028 || c == 0x2029 || c == 0xfeff || c == 0x61c)
		return false;
	/* Invisible ones, and those that turn the direction of what follows. */
	return !((c >= 0x200b && c <= 0x200f) || (c >= 0x202a && c <= 0x202e) ||
		 (c >= 0x2060 && c <= 0x206f));
}

static void put_char(FILE *out, const char *s, size_t n)
{
	switch (s[0]) {
	case '&':
		fputs("&amp;", out);
		break;
	case '<':
		fputs("&lt;", out);
		break;
	case '>':
		fputs("&gt;", out);
		break;
	case '"':
		fputs("&quot;", out);
		break;
	case '\'':
		fputs("&#39;", out);
		break;
	default:
		fwrite(s, 1, n, out);
	}
}

void amap_put_text(FILE *out, const char *s, size_t max)
{
	for (size_t i = 0; *s; i++) {
		uint32_t c = 0;
		size_t n = read_char((const unsigned char *)s, &c);

		if (i == max) {
			fputs("\u2026", out);
			return;
		}
		if (n && is_harmless(c)) {
			put_char(out, s, n);
		} else {
			n = n ? n : 1;
			for (size_t k = 0; k < n; k++)
				fprintf(out, "\\x%02x", (unsigned char)s[k]);
		}
		s += n;
	}
}

const char *amap_base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash && slash[1] ? slash + 1 : path;
}

struct amap_size amap_bytes(uint64_t bytes)
{
	static const char units[] = "\0KMGTPE";
	struct amap_size size;
	double n = (double)bytes;
	int unit = 0;

	while (n >= 999.5 && units[unit + 1]) {
		n /= 1024;
		unit++;
	}
	snprintf(size.s, sizeof(size.s), n < 9.95 && unit > 1 ? "%.1f%.1s" : "%.0f%.1s", n,
		 &units[unit]);
	return size;
}

/* Counts of pages from images can be larger than all of memory, but not by much. */
struct amap_size amap_pages(uint64_t npages)
{
	return amap_bytes(npages > UINT64_MAX / 4096 ? UINT64_MAX : npages * 4096);
}
