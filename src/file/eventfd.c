/* SPDX-License-Identifier: Apache-2.0 */
/*
 * eventfd: one 64-bit counter. Visible in fdinfo: eventfd-count (hex) and, since Linux 6.5,
 * eventfd-semaphore. The image format has no field for EFD_SEMAPHORE; it goes into an unknown field
 * of the record, which other readers skip (and then restore a counter without it).
 */
#include "file/kind.h"

#include "base/parse.h"
#include "image/schema/eventfd.pb-c.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>

#define FIELD_SEMAPHORE 1000 /* far from what the format may grow */

/* ------------------------------------------------------------------ dump */

static bool eventfd_match(struct files *f, const struct fdesc *d)
{
	(void)f;
	return !strcmp(d->name, "anon_inode:[eventfd]");
}

/* A varint of value 1. */
static void mark_semaphore(struct files *f, EventfdFileEntry *e)
{
	ProtobufCMessageUnknownField *u = arena_new_of(f->a, ProtobufCMessageUnknownField);

	u->tag = FIELD_SEMAPHORE;
	u->wire_type = PROTOBUF_C_WIRE_TYPE_VARINT;
	u->len = 1;
	u->data = arena_dup(f->a, "\1", 1);
	e->base.n_unknown_fields = 1;
	e->base.unknown_fields = u;
}

static int eventfd_dump(struct files *f, const struct fdesc *d, uint32_t id, struct err *err)
{
	EventfdFileEntry *e = arena_new_of(f->a, EventfdFileEntry);
	const char *count = fdinfo_field(d->fdinfo, "eventfd-count");
	const char *sem = fdinfo_field(d->fdinfo, "eventfd-semaphore");

	eventfd_file_entry__init(e);
	if (!count || !scan_u64(&count, 16, &e->counter))
		return err_kernel(err, "fdinfo doesn't show the counter of an eventfd");
	e->id = id;
	e->flags = d->info.flags;
	e->fown = files_fown(f, &d->fown);
	if (sem && *sem == '1')
		mark_semaphore(f, e);
	files_entry(f, FD_TYPES__EVENTFD, id)->efd = e;
	return 0;
}

/* --------------------------------------------------------------- restore */

static bool is_semaphore(const EventfdFileEntry *e)
{
	for (unsigned int i = 0; i < e->base.n_unknown_fields; i++) {
		const ProtobufCMessageUnknownField *u = &e->base.unknown_fields[i];

		if (u->tag == FIELD_SEMAPHORE && u->len == 1 && u->data[0] == 1)
			return true;
	}
	return false;
}

static int eventfd_load(struct rfiles *f, struct rfile *rf, struct err *err)
{
	const EventfdFileEntry *e = rf->e->efd;

	(void)f;
	if (!e || e->id != rf->id)
		return err_input(err, "no eventfd_file_entry with this id");
	if (e->counter == UINT64_MAX)
		return err_input(err, "eventfd with a counter that can't be");
	rf->flags = e->flags;
	return rfile_load_fown(rf, e->fown, err);
}

static int eventfd_open(struct rfiles *f, struct rfile *rf, struct target *t, struct err *err)
{
	const EventfdFileEntry *e = rf->e->efd;
	auto_close int fd =
		eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK | (is_semaphore(e) ? EFD_SEMAPHORE : 0));

	(void)f, (void)t;
	if (fd < 0)
		return err_sys(err, -errno, "eventfd");
	if (e->counter && write(fd, &e->counter, sizeof(e->counter)) != sizeof(e->counter))
		return err_sys(err, -errno, "set an eventfd to %lu", (unsigned long)e->counter);
	return TAKE_FD(fd);
}

static void eventfd_describe(const struct rfile *rf, char *buf, size_t size)
{
	snprintf(buf, size, "counter %lu", (unsigned long)rf->e->efd->counter);
}

const struct file_kind eventfd_kind = {
	.type = FD_TYPES__EVENTFD,
	.name = "eventfd",
	.match = eventfd_match,
	.dump = eventfd_dump,
	.load = eventfd_load,
	.open = eventfd_open,
	.describe = eventfd_describe,
};
