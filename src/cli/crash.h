/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * From now on, a signal that is torpor's own mistake (SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT)
 * says so in the log and on stderr, with the last lines of a binary log, before torpor dies of it
 * as it would have: the same status, the same core. Processes that are being dumped come to no harm
 * by that. Faults of the binary log's mapping don't end torpor: the log is off then.
 */
void crash_watch(void);
