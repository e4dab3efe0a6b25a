/* SPDX-License-Identifier: Apache-2.0 */
/* One process of a running tree, stopped for a moment. */
#pragma once

#include "remote/target.h"

/*
 * Stops all threads of a process (opened, without threads), as tree_seize() does. Its leader can be
 * entered (`to_enter`: it will be, so prepare for that while it runs). Fails without harm
 * where that can't be within some time: the main thread is dead or waits in vfork(), somebody else
 * traces it (ERR_REFUSED), the process is gone (ERR_GONE).
 */
MUST_USE int task_borrow(struct target *t, bool to_enter, struct err *err);
/*
 * Leaves and detaches; the process goes on as it was, t has no threads again. *ret_us (may be
 * NULL): how long it stood still.
 */
MUST_USE int task_return(struct target *t, uint64_t *ret_us, struct err *err);
/*
 * A thread that didn't stop in time does so later, and stands still until it is let go: call this
 * now and then after a task_borrow() that failed. At the latest it goes on when we end.
 */
void task_let_go(struct target *t);
/* Lets processes of one tree share what is found out about their programs and libraries. */
void task_borrow_share(struct target **targets, size_t n);
