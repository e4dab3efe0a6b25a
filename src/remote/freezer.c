/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Freezer cgroups: all tasks of a group stand still at once, which a walk over /proc can't do.
 *
 * v1: freezer.state is written FROZEN or THAWED and reads FREEZING in between; a task in a
 * ptrace-stop counts as frozen. v2: cgroup.freeze is 1 or 0, "frozen" of cgroup.events tells when
 * it is done. A frozen v1 task answers no ptrace request until it is thawed.
 */
#include "remote/freezer.h"

#include "base/auto.h"
#include "base/io.h"
#include "kernel/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>

enum freezer_version { FREEZER_V1, FREEZER_V2 };

static int freezer_open(const char *dir, int *ret_fd, enum freezer_version *ret, struct err *err)
{
	auto_close int fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return err_sys(err, -errno, "freezer cgroup %s", dir);
	if (faccessat(fd, "freezer.state", F_OK, 0) == 0)
		*ret = FREEZER_V1;
	else if (faccessat(fd, "cgroup.freeze", F_OK, 0) == 0)
		*ret = FREEZER_V2;
	else
		return err_input(
			err, "%s: not a freezer cgroup (no freezer.state, no cgroup.freeze)", dir);
	*ret_fd = TAKE_FD(fd);
	return 0;
}

/* 1 frozen, 0 thawed, 2 on the way. */
static int freezer_state(int fd, enum freezer_version version, const char *dir, struct err *err)
{
	auto_free char *text = NULL;
	int r = io_read_file(fd, version == FREEZER_V1 ? "freezer.state" : "cgroup.freeze", &text,
			     NULL);

	if (r < 0)
		return err_sys(err, r, "freezer cgroup %s: read its state", dir);
	if (version == FREEZER_V1)
		return strncmp(text, "FROZEN", 6) == 0	   ? 1
		       : strncmp(text, "FREEZING", 8) == 0 ? 2
							   : 0;
	if (text[0] != '1')
		return 0;
	free(TAKE_PTR(text));
	r = io_read_file(fd, "cgroup.events", &text, NULL);
	if (r < 0)
		return err_sys(err, r, "freezer cgroup %s: read cgroup.events", dir);
	return strstr(text, "frozen 1") ? 1 : 2;
}

static int freezer_write(int fd, enum freezer_version version, bool freeze, const char *dir,
			 struct err *err)
{
	int r;

	if (version == FREEZER_V1)
		r = io_write_file(fd, "freezer.state", freeze ? "FROZEN" : "THAWED");
	else
		r = io_write_file(fd, "cgroup.freeze", freeze ? "1" : "0");
	return r < 0 ? err_sys(err, r, "freezer cgroup %s: %s", dir, freeze ? "freeze" : "thaw")
		     : 0;
}

int freezer_is_frozen(const char *dir, bool *ret, struct err *err)
{
	enum freezer_version version = FREEZER_V1;
	auto_close int fd = -EBADF;
	int r;

	TRY(freezer_open(dir, &fd, &version, err));
	r = freezer_state(fd, version, dir, err);
	if (r >= 0)
		*ret = r > 0;
	return r < 0 ? r : 0;
}

int freezer_request(const char *dir, struct err *err)
{
	enum freezer_version version = FREEZER_V1;
	auto_close int fd = -EBADF;

	TRY(freezer_open(dir, &fd, &version, err));
	return freezer_write(fd, version, true, dir, err);
}

int freezer_thaw(const char *dir, struct err *err)
{
	enum freezer_version version = FREEZER_V1;
	auto_close int fd = -EBADF;

	TRY(freezer_open(dir, &fd, &version, err));
	return freezer_write(fd, version, false, dir, err);
}

int freezer_freeze(const char *dir, int timeout_ms, struct err *err)
{
	enum freezer_version version = FREEZER_V1;
	auto_close int fd = -EBADF;
	int r;

	TRY(freezer_open(dir, &fd, &version, err));
	TRY(freezer_write(fd, version, true, dir, err));
	for (int waited = 0;; waited++) {
		/* Neither file can be polled for this in v1; a millisecond is short enough. */
		struct timespec ms = {.tv_nsec = 1000000};

		r = freezer_state(fd, version, dir, err);
		TRY(r);
		if (r == 1)
			return 0;
		if (timeout_ms && waited >= timeout_ms)
			break;
		nanosleep(&ms, NULL);
		/* A v1 group may hang in FREEZING until it is asked once more. */
		if (version == FREEZER_V1 && waited % 20 == 19)
			TRY(freezer_write(fd, version, true, dir, err));
	}
	(void)freezer_write(fd, version, false, dir, err);
	err_refuse(err, "raise --timeout, or see which of its tasks is in state D",
		   "freezer cgroup %s: not frozen within %d ms", dir, timeout_ms);
	return err->code;
}
