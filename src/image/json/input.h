/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes of a file or pipe, in order, through a buffer. */
#pragma once

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct input {
	int fd;
	const char *name; /* for messages */
	uint64_t size;	  /* 0: not known */
	uint64_t off;	  /* of the next byte */
	void (*progress)(void *arg, const char *name, uint64_t done, uint64_t total); /* or NULL */
	void *progress_arg;
	size_t pos, len;
	uint8_t buf[64 * 1024];
};

/* The descriptor stays the caller's; it is read from where it stands. */
void input_init(struct input *in, int fd, const char *name);
/* How many bytes can be had at once, at least 1 and at *ret; 0: the end. They stay unread. */
MUST_USE int64_t input_peek(struct input *in, const uint8_t **ret, struct err *err);
/* Moves over what input_peek has shown. */
void input_skip(struct input *in, size_t n);
/* 1: exactly len bytes; 0: the end was here. In the middle of them it is an error. */
MUST_USE int input_take(struct input *in, void *buf, size_t len, struct err *err);
/* The same into new memory (to be freed), which isn't there before the bytes are. */
MUST_USE int input_take_new(struct input *in, size_t len, uint8_t **ret, struct err *err);
