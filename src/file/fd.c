/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Descriptors as such. Their state is visible in /proc/PID/fd (what), /proc/PID/fdinfo (flags,
 * position, mount) and through fcntl on a copy (owner, signal). A copy made by pidfd_getfd is the
 * same open file description: nothing that is asked here changes it, and it vanishes with us.
 */
#include "file/fd.h"

#include "base/io.h"
#include "base/log.h"
#include "base/parse.h"
#include "remote/batch.h"
#include "remote/pass_fd.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/statfs.h>
#include <sys/syscall.h>

/* ------------------------------------------------------------ the kernel */

const char *fdinfo_field(const char *text, const char *name)
{
	size_t len = strlen(name);

	for (const char *line = text; line && *line;) {
		const char *end = strchr(line, '\n');

		if (!strncmp(line, name, len) && line[len] == ':') {
			line += len + 1;
			while (*line == ' ' || *line == '\t')
				line++;
			return line;
		}
		line = end ? end + 1 : NULL;
	}
	return NULL;
}

int fdinfo_parse(const char *text, struct fdinfo *ret)
{
	const char *pos = fdinfo_field(text, "pos");
	const char *flags = fdinfo_field(text, "flags");
	const char *mnt = fdinfo_field(text, "mnt_id");
	uint64_t p, fl, m;

	if (!pos || !flags || !scan_u64(&pos, 10, &p) || !scan_u64(&flags, 8, &fl) ||
	    fl > UINT32_MAX)
		return -EINVAL;
	*ret = (struct fdinfo){
		.pos = p,
		.flags = (uint32_t)fl & ~(uint32_t)O_CLOEXEC,
		.cloexec = fl & O_CLOEXEC,
		.mnt_id = -1,
	};
	if (mnt && scan_u64(&mnt, 10, &m) && m <= INT32_MAX)
		ret->mnt_id = (int)m;
	return 0;
}

int fdesc_err(const struct fdesc *d, struct err *err)
{
	return err_in(err, "pid %d (%s): %s", d->o.t->pid, d->o.t->comm, d->what);
}

int fd_reopen(int fd, int flags)
{
	char path[32];
	int r;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	r = open(path, flags | O_CLOEXEC);
	return r < 0 ? -errno : r;
}

int origin_open(const struct origin *o, struct err *err)
{
	char path[64];
	int fd;

	if (o->fd.n >= 0)
		return target_get_fd(o->t, o->fd, err);
	if (o->link)
		str_copy(path, sizeof(path), o->link);
	else
		snprintf(path, sizeof(path), "map_files/%" PRIx64 "-%" PRIx64, o->map_start,
			 o->map_end);
	fd = openat(o->t->proc, path, O_PATH | O_CLOEXEC);
	if (fd < 0)
		return err_sys(err, -errno, "open /proc/%d/%s", o->t->pid, path);
	return fd;
}

int origin_open_read(const struct origin *o, struct err *err)
{
	auto_close int fd = origin_open(o, err);
	int r;

	if (fd < 0)
		return fd;
	/* O_NOATIME: looking at a file isn't the program's access. */
	r = fd_reopen(fd, O_RDONLY | O_NOATIME | O_NONBLOCK | O_NOCTTY);
	if (r == -EPERM)
		r = fd_reopen(fd, O_RDONLY | O_NONBLOCK | O_NOCTTY);
	if (r < 0)
		return err_sys(err, r, "open it for reading");
	return r;
}

int fdesc_identify(struct target *t, int n, struct fdesc *ret, struct arena *a, struct err *err)
{
	auto_free char *text = NULL;
	struct fdesc d = {.o = {.t = t, .fd = {n}}, .local = -EBADF, .fdinfo = "", .name = ""};
	char path[32];
	int r;

	snprintf(d.what, sizeof(d.what), "fd %d", n);
	snprintf(path, sizeof(path), "fd/%d", n);
	if (fstatat(t->proc, path, &d.st, 0) < 0)
		r = -errno;
	else {
		snprintf(path, sizeof(path), "fdinfo/%d", n);
		r = io_read_file(t->proc, path, &text, NULL);
	}
	if (r == -ENOENT)
		return r;
	if (r < 0) {
		err_sys(err, r, "read /proc/%d/%s", t->pid, path);
		return fdesc_err(&d, err);
	}
	if (fdinfo_parse(text, &d.info) < 0) {
		err_kernel(err, "/proc/%d/%s has no position or flags", t->pid, path);
		return fdesc_err(&d, err);
	}
	d.fdinfo = arena_str(a, text);
	*ret = d;
	return 0;
}

/* A pid of our namespace as the task's innermost one shows it; NSpid lists them outside in. */
static uint32_t pid_to_virtual(const struct target *t, pid_t pid)
{
	auto_free char *text = NULL;
	char path[32];
	const char *p;
	uint64_t v = (uint64_t)pid;

	if (t->pid == t->vpid)
		return (uint32_t)pid;
	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	if (io_read_file(AT_FDCWD, path, &text, NULL) < 0 || !(p = fdinfo_field(text, "NSpid")))
		return 0;
	while (*p != '\n' && scan_u64(&p, 10, &v))
		while (*p == '\t' || *p == ' ')
			p++;
	return (uint32_t)v;
}

static int fown_get(int fd, const struct target *t, struct fown *ret, struct err *err)
{
	struct f_owner_ex ex = {0};
	uint32_t uids[2] = {0, 0};
	int sig = fcntl(fd, F_GETSIG);

	*ret = (struct fown){0};
	if (sig < 0 || fcntl(fd, F_GETOWN_EX, &ex) < 0)
		return err_sys(err, -errno, "fcntl(F_GETSIG, F_GETOWN_EX)");
	ret->signum = (uint32_t)sig;
	if (ex.pid == 0)
		return 0;
	if (fcntl(fd, F_GETOWNER_UIDS, uids) < 0)
		return err_sys(err, -errno, "fcntl(F_GETOWNER_UIDS)");
	ret->pid = pid_to_virtual(t, ex.pid);
	if (!ret->pid)
		return 0; /* the owner died: there is nobody to tell */
	ret->pid_type = (uint32_t)ex.type;
	ret->uid = uids[0];
	ret->euid = uids[1];
	return 0;
}

int fdesc_collect(struct fdesc *d, struct arena *a, struct err *err)
{
	char path[32], link[PATH_MAX + 16];
	ssize_t len;
	int r;

	snprintf(path, sizeof(path), "fd/%d", d->o.fd.n);
	len = readlinkat(d->o.t->proc, path, link, sizeof(link) - 1);
	if (len < 0) {
		err_sys(err, -errno, "readlink /proc/%d/%s", d->o.t->pid, path);
		return fdesc_err(d, err);
	}
	link[len] = '\0';
	d->name = arena_str(a, link);
	d->local = target_get_fd(d->o.t, d->o.fd, err);
	if (d->local < 0)
		return fdesc_err(d, err);
	if (d->info.flags & O_PATH)
		return 0;
	r = fown_get(d->local, d->o.t, &d->fown, err);
	return r < 0 ? fdesc_err(d, err) : 0;
}

void fdesc_done(struct fdesc *d)
{
	d->local = fd_close(d->local);
}

uint64_t fdesc_fs_magic(const struct fdesc *d)
{
	struct statfs s;

	return fstatfs(d->local, &s) < 0 ? 0 : (uint64_t)s.f_type;
}

/* --------------------------------------------------------------- restore */

#define SETFL_MASK ((uint32_t)(O_APPEND | O_ASYNC | O_NONBLOCK | O_DIRECT | O_NOATIME))

/*
 * The kernel notes the ids of who calls F_SETOWN, and later checks with them whether SIGIO may be
 * sent. So the call is made under the ids of the image: the saved id stays ours, which keeps the
 * permitted capabilities, and going back to effective id 0 makes them effective again
 * (capabilities(7)). Raw calls: the C library would change all threads.
 */
static int setown_as(int fd, const struct f_owner_ex *ex, const struct fown *fown)
{
	uid_t ruid = getuid(), euid = geteuid();
	bool other = fown->uid != ruid || fown->euid != euid;
	int dumpable = other ? prctl(PR_GET_DUMPABLE) : 0;
	int r;

	if (other && syscall(SYS_setresuid, fown->uid, fown->euid, euid) < 0)
		return -errno;
	r = fcntl(fd, F_SETOWN_EX, ex) < 0 ? -errno : 0;
	if (other) {
		if (syscall(SYS_setresuid, ruid, euid, euid) < 0)
			return -errno;
		(void)prctl(PR_SET_DUMPABLE, dumpable); /* reset by the change of ids */
	}
	return r;
}

static int fown_set(int fd, const struct fown *fown, struct err *err)
{
	struct f_owner_ex ex = {.type = (int)fown->pid_type, .pid = (pid_t)fown->pid};
	int r;

	if (fown->signum && fcntl(fd, F_SETSIG, (int)fown->signum) < 0)
		return err_sys(err, -errno, "fcntl(F_SETSIG, %u)", fown->signum);
	if (!fown->pid)
		return 0;
	r = setown_as(fd, &ex, fown);
	if (r == -ESRCH) {
		/* It was dead at the dump too: a number is all that the kernel had kept. */
		log_debug("owner %u of a descriptor doesn't exist any more", fown->pid);
		return 0;
	}
	if (r < 0)
		return err_sys(err, r, "fcntl(F_SETOWN_EX, type %u, pid %u) as uid %u",
			       fown->pid_type, fown->pid, fown->euid);
	return 0;
}

int fd_restore_common(int fd, uint32_t flags, const struct fown *fown, struct err *err)
{
	/* O_ASYNC is for later: see fd_restore_async. */
	uint32_t mask = SETFL_MASK & ~(uint32_t)O_ASYNC, want = flags & mask;
	int now;

	if (flags & O_PATH)
		return 0;
	TRY(fown_set(fd, fown, err));
	now = fcntl(fd, F_GETFL);
	if (now < 0)
		return err_sys(err, -errno, "fcntl(F_GETFL)");
	if (((uint32_t)now & mask) == want)
		return 0;
	if (fcntl(fd, F_SETFL, want) < 0)
		return err_sys(err, -errno, "fcntl(F_SETFL, %#x)", want);
	now = fcntl(fd, F_GETFL);
	if (now < 0 || ((uint32_t)now & mask) != want)
		return err_kernel(err, "flags %#x don't stick: %#x is what stays", want,
				  (unsigned int)now & mask);
	return 0;
}

int fd_restore_async(struct target *t, int num, uint32_t flags, struct err *err)
{
	int64_t ret;

	TRY(remote_call(target_leader(t), &ret, err, SYS_fcntl, (uint64_t)num, F_SETFL,
			flags & SETFL_MASK));
	if (ret < 0)
		return err_sys(err, (int)ret, "pid %d (%s): fd %d: fcntl(F_SETFL, %#x)", t->vpid,
			       t->comm, num, flags & SETFL_MASK);
	return 0;
}
