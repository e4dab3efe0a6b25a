/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A few threads for work that is the same for many pieces: copying, checksums. Only for what needs
 * no ptrace (that is bound to the thread that seized) and forks nothing.
 */
#pragma once

#include "base/err.h"

struct pool;

/* 0 threads: as many as this process may use CPUs, at most 8. They start with the first job. */
struct pool *pool_new(unsigned int nthreads);
/*
 * fn(arg) runs in some thread. A failure sets the err that it is given; the first one is kept, and
 * jobs that haven't begun are dropped.
 */
void pool_add(struct pool *p, int (*fn)(void *arg, struct err *err), void *arg);
/* Until all jobs are done. 0 or the first failure, after which the pool is as new. */
MUST_USE int pool_wait(struct pool *p, struct err *err);
unsigned int pool_threads(const struct pool *p);
void pool_free(struct pool *p); /* accepts NULL; waits for what runs, drops the rest */
