/* SPDX-License-Identifier: Apache-2.0 */
/* File descriptors in and out of targets. */
#pragma once

#include "remote/target.h"

/* Our own copy (CLOEXEC, >= 3) of a descriptor of the target: pidfd_getfd. Negative errno on err.
 */
MUST_USE int target_get_fd(const struct target *t, struct tfd fd, struct err *err);

/*
 * Lends one of our descriptors to a target during a dump. The target must be entered and have no
 * seccomp mode. -EMFILE (err set) when its table is full: the caller then works from outside. If
 * we die before target_return_fd, the agent closes it before it gives control back.
 */
MUST_USE int target_lend_fd(struct target *t, int fd, struct tfd *ret, struct err *err);
MUST_USE int target_return_fd(struct target *t, struct tfd fd, struct err *err);

/*
 * A descriptor that only the target itself can make, by the call nr(arg): taken over, and closed
 * there. The target must be entered. Negative errno on err; -EMFILE: its table is full. If we die
 * in between, the agent closes it (but not in a target with seccomp filters).
 */
MUST_USE int target_make_fd(struct target *t, long nr, uint64_t arg, struct err *err);

/* Restore only: our `fd` becomes descriptor `num` there, for all of them. `num`s are unique. */
struct fd_install {
	int fd;
	int num;
	bool cloexec;
};
/*
 * The table of the target must be empty but for the mailbox (see build.h) and what earlier calls
 * installed; the array is sorted by num (ascending) in place.
 */
MUST_USE int target_install_fds(struct target *t, struct fd_install *fds, size_t n,
				struct err *err);
