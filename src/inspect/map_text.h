/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside inspect/: text for XML and HTML. Names in a checkpoint are whatever its programs, or who
 * made the images, wanted them to be.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/*
 * As text, or between quotes as an attribute: markup is escaped; bytes that aren't UTF-8, control
 * characters, and those that change the direction of writing become \xNN. At most `max` characters,
 * then an ellipsis.
 */
void amap_put_text(FILE *out, const char *s, size_t max);
/* The part behind the last slash. */
const char *amap_base_name(const char *path);

/* "4K", "1.5M", "12G" for so many pages; "0". */
struct amap_size {
	char s[24];
};
struct amap_size amap_pages(uint64_t npages);
struct amap_size amap_bytes(uint64_t bytes);
