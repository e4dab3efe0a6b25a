/* SPDX-License-Identifier: Apache-2.0 */
/* Inside inspect/: small helpers for JSON made of what is in images. */
#pragma once

#include <jansson.h>
#include <stddef.h>

/* Bytes of images as text: where they aren't UTF-8, what isn't ASCII becomes '?'. Never NULL. */
json_t *json_text(const char *s, size_t len);
/* NULL is "". */
json_t *json_string_of(const char *s);
/* obj[key] += n, of an object of counts. */
void json_count(json_t *obj, const char *key, json_int_t n);
