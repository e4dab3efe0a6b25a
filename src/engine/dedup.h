/* SPDX-License-Identifier: Apache-2.0 */
/* --auto-dedup: giving back the space of pages when nobody needs them any more. */
#pragma once

#include "engine/options.h"
#include "image/store.h"

/*
 * The images in dir are complete, and on disk with it: what they replace is punched out of those
 * that they build on. Only space is at stake: what goes wrong is a warning.
 */
void dedup_parents(const struct options *o, const struct img_dir *dir);
/* The tree runs again: its pages are punched out of all images of the chain. */
void dedup_restored(const struct options *o, struct page_store *store);
