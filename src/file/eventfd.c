/* SPDX-License-Identifier: Apache-2.0 */
/*
 * eventfd: one 64-bit counter. Visible in fdinfo: eventfd-count (hex) and, since Linux 6.5,
 * eventfd-semaphore. The image format has no field for EFD_SEMAPHORE; it goes into an unknown field
 * of the record, which other readers skip (and then restore a counter without it).
 */
#include "file/kind.h"

#include "base/parse.h"
#include "file/ext.h"
#include "image/schema/eventfd.pb-c.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>

/* ------------------------------------------------------------------ dump */

static bool eventfd_match(struct files *f, const struct fdesc *d)
{
	(void)f;
	return !strcmp(d->name, "anon_inode:[eventfd]");
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
		ext_put(f->a, &e->base, EXT_EVENTFD_SEMAPHORE, 1);
	files_entry(f, FD_TYPES__EVENTFD, id)->efd = e;
	return 0;
}

/* --------------------------------------------------------------- restore */

static bool is_semaphore(const EventfdFileEntry *e)
{
	uint64_t v;

	return ext_get(&e->base, EXT_EVENTFD_SEMAPHORE, &v) && v == 1;
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
