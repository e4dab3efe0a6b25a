/* SPDX-License-Identifier: Apache-2.0 */
/* Credentials: the parts that others and the tests call; see creds.c. */
#pragma once

#include "task/part.h"

/* From the text of a /proc/PID/status. securebits aren't in it. */
MUST_USE int creds_parse(const char *status, struct arena *a, struct creds *ret, struct err *err);

/* Capability sets stand in images as two words: {bits 0-31, bits 32-63}. */
void cap_to_words(uint64_t set, uint32_t words[2]);
uint64_t cap_from_words(const uint32_t *words, size_t n);
const char *cap_name(unsigned int cap);
