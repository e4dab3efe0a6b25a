/* SPDX-License-Identifier: Apache-2.0 */
/* The last row: what no kind knows, by the name that the kernel gives it. */
#include "file/kind.h"

#include "base/auto.h"
#include "base/parse.h"

#include <string.h>
#include <sys/sysmacros.h>

/* What readlink shows, and how people call it. */
static const struct {
	const char *shown, *name;
} names[] = {
	{"anon_inode:[eventpoll]", "an epoll instance"},
	{"anon_inode:[signalfd]", "a signalfd"},
	{"anon_inode:[timerfd]", "a timerfd"},
	{"anon_inode:inotify", "an inotify instance"},
	{"anon_inode:[fanotify]", "a fanotify group"},
	{"anon_inode:[pidfd]", "a pidfd"},
	{"pidfd:[", "a pidfd"},
	{"anon_inode:[io_uring]", "an io_uring"},
	{"anon_inode:[userfaultfd]", "a userfaultfd"},
	{"anon_inode:[perf_event]", "a perf event"},
	{"anon_inode:bpf", "a bpf object"},
	{"anon_inode:[landlock-ruleset]", "a landlock ruleset"},
	{"anon_inode:seccomp notify", "a seccomp listener"},
	{"anon_inode:kvm", "a virtual machine"},
	{"anon_inode:", "an object of the kernel"},
	{"mnt:[", "a mount namespace"},
	{"net:[", "a network namespace"},
	{"pid:[", "a pid namespace"},
	{"user:[", "a user namespace"},
	{"uts:[", "a uts namespace"},
	{"ipc:[", "an ipc namespace"},
	{"time:[", "a time namespace"},
	{"cgroup:[", "a cgroup namespace"},
	{"/secretmem", "secret memory"},
	{"/dmabuf:", "a dma buffer"},
};

static bool unknown_match(struct files *f, const struct fdesc *d)
{
	(void)f, (void)d;
	return true;
}

static int unknown_dump(struct files *f, const struct fdesc *d, uint32_t id, struct err *err)
{
	static const char hint[] = "let the program close it first";

	(void)f, (void)id;
	if (S_ISCHR(d->st.st_mode))
		return err_refuse(err, hint,
				  "%s (device %u:%u): this device keeps state that can't be read",
				  d->name, major(d->st.st_rdev), minor(d->st.st_rdev));
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (str_after(d->name, names[i].shown))
			return err_refuse(err, hint, "%s (%s) isn't supported yet", names[i].name,
					  d->name);
	return err_refuse(err, hint, "%s (mode %#o) isn't supported", d->name, d->st.st_mode);
}

const struct file_kind unknown_kind = {
	.type = FD_TYPES__UND,
	.name = "file of unknown kind",
	.match = unknown_match,
	.dump = unknown_dump,
};
