/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Quoted-printable text (RFC 2045), as Python's codec of that name writes it: what scripts made for
 * crit expect of the names of unix sockets. Unlike there, a carriage return is quoted, not lost.
 */
#pragma once

#include "base/arena.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

char *quoted_encode(struct arena *a, const uint8_t *data, size_t len);
/* False: a `=` that nothing valid follows. The bytes are of the arena. */
bool quoted_decode(struct arena *a, const char *text, uint8_t **ret, size_t *ret_len);
