/* SPDX-License-Identifier: Apache-2.0 */
#include "mem/track.h"

#include "base/auto.h"

const char *tracker_name(enum tracker_kind kind)
{
	static const char *const names[] = {
		[TRACKER_NONE] = "none",
		[TRACKER_UFFD_WP] = "uffd-wp",
		[TRACKER_SOFT_DIRTY] = "soft-dirty",
	};

	return names[kind];
}

bool tracker_works(enum tracker_kind kind)
{
	return false;
}

enum tracker_kind tracker_best(void)
{
	return TRACKER_NONE;
}

int tracker_attach(struct target *t, enum tracker_kind kind, struct tracker **ret, struct err *err)
{
	return err_bug(err, "not written yet");
}

void tracker_free(struct tracker *tr)
{
	if (!tr)
		return;
	fd_close(tr->uffd);
	free(tr);
}

int tracker_arm(struct tracker *tr, const struct vma *vmas, size_t n, uint8_t *states,
		struct err *err)
{
	return err_bug(err, "not written yet");
}

int tracker_restart(struct tracker *tr, struct err *err)
{
	return err_bug(err, "not written yet");
}
