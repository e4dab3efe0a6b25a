/* SPDX-License-Identifier: Apache-2.0 */
/* The buffer behind pipes and fifos: its size and what is in it. */
#pragma once

#include "file/kind.h"
#include "image/image.h"

/* ------------------------------------------------------------------ dump */

/* An end of the pipe with this id was met; `all` is f->pipes or f->fifos. */
void pipe_note(struct files *f, struct pipes **all, const struct fdesc *d, uint32_t pipe_id);
/* Writes the contents of all that have a read end, without taking them out. */
MUST_USE int pipes_write(struct files *f, const struct pipes *all, enum img_kind kind,
			 struct err *err);

void pipes_done(struct pipes *all); /* accepts NULL */

/* --------------------------------------------------------------- restore */

struct rpipe {
	uint32_t id;
	int r, w;	       /* ours until the end; one O_RDWR descriptor in `w` for a fifo */
	bool r_given, w_given; /* somebody shares the description of r (w) already */
	uint32_t size;	       /* 0: as the kernel makes it */
	uint32_t bytes;
	const uint8_t *data;
};
struct rpipes {
	VEC(struct rpipe) all;
};

/* Reads the data image into *ret. */
MUST_USE int rpipes_load(struct rfiles *f, enum img_kind kind, struct rpipes **ret,
			 struct err *err);
/* The pipe with this id, entered if new. Valid until the next call. */
struct rpipe *rpipe_get(struct rpipes *all, uint32_t id);
MUST_USE int rpipe_set_size(const struct rpipe *p, struct err *err);
/* Puts the contents back. */
MUST_USE int rpipes_fill(struct rpipes *all, struct err *err);
void rpipes_done(struct rpipes *all);
