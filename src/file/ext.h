/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Facts that the image format has no field for. They travel as unknown fields of a record: other
 * readers skip them, so they may only refine what the record says.
 */
#pragma once

#include "base/arena.h"

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stdint.h>

/* Disk values, far from what the format may grow to. */
#define EXT_EVENTFD_SEMAPHORE 1000 /* eventfd_file_entry: 1 */
#define EXT_REG_RDEV	      1000 /* reg_file_entry of a device: st_rdev */

/* Adds one; a message takes one only. */
void ext_put(struct arena *a, ProtobufCMessage *msg, uint32_t tag, uint64_t value);
bool ext_get(const ProtobufCMessage *msg, uint32_t tag, uint64_t *ret);
