/* SPDX-License-Identifier: Apache-2.0 */
/* Restartable sequences: what comes after the table's steps; see rseq.c. */
#pragma once

#include "base/err.h"

struct target;
struct rthread;

/* After the last instruction of the agent: the section of a thread that stays in it. */
MUST_USE int rseq_finish(struct target *t, const struct rthread *r, struct err *err);
