/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "image/pages.h"
#include "mem/run.h"
#include "remote/target.h"

/*
 * Into image files: runs of `t` (its leader entered) into the pagemap. The writer stays the
 * caller's and must outlive the sink.
 */
struct page_sink *image_sink_new(struct target *t, struct pagemap_writer *w);
