/* SPDX-License-Identifier: Apache-2.0 */
/* Inside image/ and inspect/: a look at messages before they are unpacked, and at their values. */
#pragma once

#include "base/err.h"

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stdint.h>

/* Deeper nesting than any valid message has; each level costs protobuf-c a frame of 2 KiB. */
#define WIRE_DEPTH_MAX 64

/* A type that can hold itself, however deep: the depth is the file's choice then. */
bool wire_is_recursive(const ProtobufCMessageDescriptor *type);
/*
 * Walks a message as protobuf-c would. 0, or ERR_INPUT that names the field: bytes missing or left
 * over, a wrong wire type, a required field that is missing, nesting too deep.
 */
MUST_USE int wire_check(const ProtobufCMessageDescriptor *type, const uint8_t *data, size_t len,
			struct err *err);
/* Bytes of one value of a field in the unpacked struct of its message. */
size_t wire_value_size(ProtobufCType type);
