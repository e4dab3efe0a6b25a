/* SPDX-License-Identifier: Apache-2.0 */
/* Freezer cgroups, v1 (freezer.state) and v2 (cgroup.freeze). */
#pragma once

#include "base/err.h"

#include <stdbool.h>

/* Is everything in the cgroup frozen, or asked to be? */
MUST_USE int freezer_is_frozen(const char *dir, bool *ret, struct err *err);
/* Freezes and waits until it is done, at most so many ms (0: no limit). */
MUST_USE int freezer_freeze(const char *dir, int timeout_ms, struct err *err);
MUST_USE int freezer_thaw(const char *dir, struct err *err);
/* Asks for it without waiting: for tasks that are in ptrace-stops and freeze when they leave. */
MUST_USE int freezer_request(const char *dir, struct err *err);
