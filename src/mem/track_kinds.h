/* SPDX-License-Identifier: Apache-2.0 */
/* The two kinds of tracker, behind mem/track.h. */
#pragma once

#include "mem/track.h"

struct tracker_ops {
	/* 0, or a negative errno. */
	int (*probe)(void);
	int (*attach)(struct target *t, struct tracker *tr, struct err *err);
	bool (*is_stale)(const struct tracker *tr);
	int (*arm)(struct tracker *tr, const struct vma *vmas, size_t n, uint8_t *states,
		   struct err *err);
	int (*restart)(struct tracker *tr, struct err *err);
};

extern const struct tracker_ops track_uffd, track_soft;
