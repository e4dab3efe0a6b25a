/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Walks image files of any kind: which kind a name is, its records, and the bytes that follow some
 * of them (IMAGES.md sections 7, 9.5, 10, 11 and 17).
 */
#pragma once

#include "image/image.h"

/* What a file name says. False: not an image of records (pages, iptables, tar archives, ...). */
bool imgwalk_kind(const char *name, enum img_kind *ret_kind, uint64_t *ret_id);

struct imgwalk_record {
	uint64_t at;		     /* of its size word in the file */
	const ProtobufCMessage *msg; /* gone after the call */
	uint64_t raw;		     /* how many bytes follow */
};
typedef int (*imgwalk_fn)(void *ctx, const struct imgwalk_record *r, struct err *err);

/* 0, the first error of the reader, or the first negative answer of `fn`. */
MUST_USE int imgwalk(const struct img_dir *dir, enum img_kind kind, uint64_t id, imgwalk_fn fn,
		     void *ctx, struct err *err);
