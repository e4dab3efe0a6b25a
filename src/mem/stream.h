/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pages of one task on their way into its images: a source, a sink, and what moves runs from
 * one to the other. In steps that any thread may do, one after another; those of the second group
 * only the one that traces.
 */
#pragma once

#include "mem/cow.h"
#include "mem/direct.h"
#include "mem/dump.h"
#include "mem/outside.h"
#include "mem/source.h"

/* What is fixed before the first step. */
struct stream_opts {
	const struct img_dir *dir;
	uint32_t pages_id;
	struct target *target;
	const struct vma *vmas; /* without guards */
	size_t nvmas;
	struct source_opts source;
	const cow_run_vec *shared; /* see cow_source_new */
	struct cow_peers peers;
	enum direct_use direct;
};

struct stream;

MUST_USE int stream_open(const struct stream_opts *o, struct stream **ret, struct err *err);
/*
 * Moves everything from outside; 0 when all is done. 1, unless `all`: there is so much that the
 * target should do it.
 */
MUST_USE int stream_copy(struct stream *s, bool all, struct outside *o, struct err *err);
/* The images are complete; frees the stream in any case. Adds to *stats. */
MUST_USE int stream_close(struct stream *s, struct mem_stats *stats, struct err *err);

/* 1: the target can write by itself; 0: it can't, stream_copy it is. */
MUST_USE int stream_lend(struct stream *s, struct err *err);
/* 1: a batch of it runs, and more is looked up meanwhile; 0: all is done. */
MUST_USE int stream_start(struct stream *s, struct outside *o, struct err *err);
MUST_USE int stream_wait(struct stream *s, struct outside *o, struct err *err);
/* Of a stream that has failed, or won't go on. Accepts NULL. */
void stream_abort(struct stream *s);
