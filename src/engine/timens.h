/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Time namespace: CLOCK_MONOTONIC and CLOCK_BOOTTIME of the tree go on where they stood at the
 * dump, however long ago and on whichever machine that was. Format: timens-<id>.img; id 0 when
 * the tree was in torpor's own time namespace (../shared/formats/IMAGES.md section 14).
 */
#pragma once

#include "image/image.h"
#include "remote/target.h"

/* Records the clocks as the target sees them. */
MUST_USE int timens_dump(const struct img_dir *dir, uint32_t ns_id, const struct target *t,
			 struct err *err);

/*
 * Children that torpor makes between enter and leave live in a new time namespace with the
 * image's clocks. Where it can't be made (no privilege, old kernel) a warning says so and they
 * get torpor's clocks.
 */
struct timens {
	int own; /* torpor's namespace while another is entered, else -EBADF */
};
MUST_USE int timens_enter(struct timens *tn, const struct img_dir *dir, uint32_t ns_id,
			  struct arena *a, struct err *err);
void timens_leave(struct timens *tn);
