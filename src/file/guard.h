/* SPDX-License-Identifier: Apache-2.0 */
/* Steps that must not be interrupted by our own death. */
#pragma once

#include "base/err.h"

/*
 * Runs fn(arg) to its end even if we are killed meanwhile: in a short-lived process that shares
 * memory and descriptors with us and blocks all signals. fn makes system calls only and needs
 * little stack. Its result (0 or negative errno) is returned.
 */
MUST_USE int guard_run(int (*fn)(void *arg), void *arg);
