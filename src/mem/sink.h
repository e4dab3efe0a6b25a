/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs of pages of one target into its images. In steps, so that several targets write at a time:
 *
 *	image_sink_take		until there is enough for a batch (image_sink_queued)
 *	image_sink_copy		moves all that was taken from outside; needs no ptrace: any thread
 *	image_sink_start	the target begins to write by itself
 *	image_sink_wait		until it has ended that
 */
#pragma once

#include "image/pages.h"
#include "mem/direct.h"
#include "mem/outside.h"
#include "mem/run.h"
#include "remote/target.h"

/*
 * Below it, copying through a buffer is quicker than lending a descriptor: that takes some round
 * trips, for which the target has to be scheduled, on a busy machine after everybody else.
 */
#define SINK_LEND_BYTES (4 * 1024 * 1024)
/* One batch of the target's: some tens of milliseconds. */
#define SINK_BATCH_BYTES (64 * 1024 * 1024)

struct image_sink;

/*
 * The leader of `t` is entered. The writer stays the caller's and must outlive the sink. direct:
 * may what the target writes go past the page cache?
 */
struct image_sink *image_sink_new(struct target *t, struct pagemap_writer *w,
				  enum direct_use direct);
/* A running batch is waited for; what was lent is taken back. Accepts NULL. */
void image_sink_free(struct image_sink *s);

MUST_USE int image_sink_take(struct image_sink *s, const struct mem_run *run, struct err *err);
/* Bytes that were taken and aren't on their way yet. So many small pieces count as a batch. */
uint64_t image_sink_queued(const struct image_sink *s);

MUST_USE int image_sink_copy(struct image_sink *s, struct outside *o, struct err *err);

/* 1: the target can write by itself; 0: it can't, image_sink_copy it is. Idempotent. */
MUST_USE int image_sink_lend(struct image_sink *s, struct err *err);
/*
 * 1: a batch runs; 0: nothing is left. What the target can't read itself goes through `o`.
 * Meanwhile runs may be taken, nothing else.
 */
MUST_USE int image_sink_start(struct image_sink *s, struct outside *o, struct err *err);
MUST_USE int image_sink_wait(struct image_sink *s, struct outside *o, struct err *err);
/* How much has gone past the page cache. */
uint64_t image_sink_direct_bytes(const struct image_sink *s);
/* All is written: takes back what was lent. */
MUST_USE int image_sink_finish(struct image_sink *s, struct err *err);
