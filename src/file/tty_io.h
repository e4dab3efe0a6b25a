/* SPDX-License-Identifier: Apache-2.0 */
/* What ioctls say about a terminal, and the bytes that are queued in it. */
#pragma once

#include "file/kind.h"
#include "image/schema/tty.pb-c.h"

/* The size of c_cc in the kernel's struct termios. */
#define TTY_NCC 19

/* Modes, locked modes and window size of this end into the entry; false if it was hung up. */
bool tty_query(struct files *f, int fd, bool is_master, TtyInfoEntry *e);
/* Checks what is there of these in an image. */
MUST_USE int tty_check_entry(const TtyInfoEntry *e, struct err *err);
/* Sets modes (and locked ones) as the entry says. Nothing if it has none. */
MUST_USE int tty_set_modes(int fd, const TtyInfoEntry *e, struct err *err);
/* Sets the window size. */
MUST_USE int tty_set_size(int fd, const TtyInfoEntry *e, struct err *err);

/* What is to be read from both ends of a pair; both are O_NOCTTY descriptors of ours. */
#define TTY_QUEUE_MAX (16 * 1024)
struct tty_queues {
	uint8_t to_slave[TTY_QUEUE_MAX], to_master[TTY_QUEUE_MAX]; /* readable at that end */
	size_t nto_slave, nto_master;
};
/* Takes the bytes out and puts them back at once, even if we are killed meanwhile. */
MUST_USE int tty_peek(int master, int slave, struct tty_queues *ret, struct err *err);
/* Puts bytes into a fresh pair. */
MUST_USE int tty_fill(int master, int slave, const struct tty_queues *q, struct err *err);
