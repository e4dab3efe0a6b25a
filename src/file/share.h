/* SPDX-License-Identifier: Apache-2.0 */
/* Which descriptors, of any task, are one open file description. */
#pragma once

#include "base/err.h"

#include <stdint.h>
#include <sys/types.h>

/* What equal descriptions have in common; kcmp is asked only among those with equal keys. The
 * position isn't in it: somebody outside of the tree may be moving it. */
struct ofd_key {
	uint64_t dev, ino;
	uint32_t flags;
};
/* An open file description, known by one descriptor that refers to it. */
struct ofd {
	pid_t pid;
	int fd;
	uint32_t id; /* file id; 0: not (yet) given */
	uint32_t type;
};

struct ofd_table;
struct ofd_table *ofd_table_new(void);
void ofd_table_free(struct ofd_table *t); /* accepts NULL */
/*
 * The description that this descriptor refers to: 1 if it is known, 0 if it was just entered (the
 * caller sets id and type). *ret is valid until the next call.
 */
MUST_USE int ofd_find(struct ofd_table *t, const struct ofd_key *key, pid_t pid, int fd,
		      struct ofd **ret, struct err *err);
