/* SPDX-License-Identifier: Apache-2.0 */
/* Names of system calls, for the log and for errors. */
#pragma once

/* "mmap", or "syscall_1234" in buf (at least 24 bytes) for a number without a name. */
const char *sys_name(long nr, char *buf, unsigned long size);
