/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes of an address space, and in plain words why some can't be had. */
#include "base/auto.h"
#include "inspect/space.h"

#include <inttypes.h>
#include <string.h>

static uint64_t distance(const struct area *a, uint64_t addr)
{
	return addr < a->start ? a->start - addr : addr - a->end + 1;
}

int space_unmapped(const struct space *s, uint64_t addr, struct err *err)
{
	size_t i = space_find(s, addr);
	const struct area *near = i < s->n ? &s->areas[i] : NULL;
	const char *name;

	if (i > 0 && (!near || distance(near - 1, addr) <= distance(near, addr)))
		near = &s->areas[i - 1];
	if (!near)
		return err_input(err, "process %u: %#" PRIx64 " isn't mapped: nothing is", s->pid,
				 addr);
	name = space_name(near);
	err_input(err,
		  "process %u: %#" PRIx64 " isn't mapped: the nearest mapping is %#" PRIx64
		  "-%#" PRIx64 " (%s%s%s), %s it",
		  s->pid, addr, near->start, near->end, space_kind(s, near), name ? " " : "",
		  name ? name : "", addr < near->start ? "behind" : "before");
	return err_hint(err, "without --addr the mappings are listed");
}

static int not_here(struct space *s, const struct extent *x, bool files, struct err *err)
{
	const char *why;

	(void)space_file(s, x->area, files, &why);
	return err_input(err, "process %u: %#" PRIx64 ": not in the images: %s+0x%" PRIx64 ": %s",
			 s->pid, x->start, x->area->reg->name, x->file_off, why);
}

static int unknowable(struct space *s, const struct extent *x, struct err *err)
{
	return err_input(err, "process %u: %#" PRIx64 ": not in the images: %s", s->pid, x->start,
			 x->area->backing == BACKING_NONE
				 ? "it is the kernel's own (vvar, vsyscall)"
				 : "it is behind the end of the file");
}

bool space_has(struct space *s, const struct extent *x, bool files)
{
	const char *why;

	if (x->from == EXTENT_FILE)
		return space_file(s, x->area, files, &why);
	return x->from != EXTENT_NONE;
}

/* At most len bytes of one extent. */
static int64_t read_extent(struct space *s, const struct extent *x, void *buf, uint64_t len,
			   bool files, struct err *err)
{
	len = MIN(len, x->len);
	if (x->from == EXTENT_NONE)
		return unknowable(s, x, err);
	if (!space_has(s, x, files))
		return not_here(s, x, files, err);
	if (x->from == EXTENT_IMAGE)
		memcpy(buf, x->src, len);
	else if (x->from == EXTENT_ZERO)
		memset(buf, 0, len);
	else
		TRY(space_file_read(s, x->area, buf, len, x->file_off, err));
	return (int64_t)len;
}

int64_t space_read(struct space *s, uint64_t addr, void *buf, uint64_t len, bool files,
		   struct err *err)
{
	uint64_t done = 0;

	while (done < len) {
		size_t i = space_find(s, addr + done);
		struct err local = ERR_INIT;
		struct extent x;
		int64_t got;

		if (i == s->n || s->areas[i].start > addr + done) {
			got = space_unmapped(s, addr + done, &local);
		} else {
			space_extent(s, &s->areas[i], addr + done, &x);
			got = read_extent(s, &x, (uint8_t *)buf + done, len - done, files, &local);
		}
		if (got < 0 && !done)
			*err = local;
		if (got < 0)
			return done ? (int64_t)done : got;
		done += (uint64_t)got;
	}
	return (int64_t)done;
}
