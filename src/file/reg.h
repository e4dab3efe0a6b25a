/* SPDX-License-Identifier: Apache-2.0 */
/* Files with a name: what other kinds (fifos, terminals, mappings, links) share with plain ones. */
#pragma once

#include "file/kind.h"

/* The REG entry of any file that has a name, with remap if the name doesn't lead to it. */
MUST_USE int reg_dump_as(struct files *f, const struct fdesc *d, uint32_t id, struct err *err);
/* Is it a character device that keeps no state which a new open wouldn't have? */
bool reg_device_is_plain(dev_t rdev);
/* A new open file description of a REG file with these flags (creation flags are dropped). */
MUST_USE int reg_open_as(struct rfiles *f, struct rfile *rf, uint32_t flags, struct err *err);
/* The name of a REG file. */
const char *rfile_name(const struct rfile *rf);
/* A node of this device: `name` itself, or any in /dev; NULL if there is none. */
const char *reg_find_device(int root, struct arena *a, const char *name, mode_t type, dev_t rdev);
