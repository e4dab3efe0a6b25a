/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sharing of open file descriptions, within a task (dup) and among tasks (fork, SCM_RIGHTS).
 *
 * Only kcmp(KCMP_FILE) tells. Its answer is an order (the kernel compares obfuscated addresses),
 * so each bucket is kept sorted and a lookup costs log2(n) calls, mostly none or one: descriptors
 * that differ in inode or flags are never compared.
 */
#include "file/share.h"

#include "base/arena.h"
#include "base/vec.h"

#include <errno.h>
#include <linux/kcmp.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SLOTS 4096

struct bucket {
	struct bucket *next;
	struct ofd_key key;
	VEC(struct ofd) ofds; /* in the order of kcmp */
};

struct ofd_table {
	struct bucket *slots[SLOTS];
};

struct ofd_table *ofd_table_new(void)
{
	return xcalloc(1, sizeof(struct ofd_table));
}

void ofd_table_free(struct ofd_table *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < SLOTS; i++) {
		for (struct bucket *b = t->slots[i], *next; b; b = next) {
			next = b->next;
			vec_done(&b->ofds);
			free(b);
		}
	}
	free(t);
}

static struct bucket *bucket_of(struct ofd_table *t, const struct ofd_key *key)
{
	uint64_t h = (key->ino * 0x9e3779b97f4a7c15u) ^ (key->dev * 0xc2b2ae3d27d4eb4fu) ^
		     key->flags;
	struct bucket **slot = &t->slots[(h ^ (h >> 32)) % SLOTS];

	for (struct bucket *b = *slot; b; b = b->next)
		if (b->key.ino == key->ino && b->key.dev == key->dev && b->key.flags == key->flags)
			return b;
	struct bucket *b = xcalloc(1, sizeof(*b));
	b->key = *key;
	b->next = *slot;
	*slot = b;
	return b;
}

/* <0: fd sorts before o; 0: the same; >0: behind it. `fail` gets the errno of a failed call. */
static int compare(pid_t pid, int fd, const struct ofd *o, int *fail)
{
	long r = syscall(SYS_kcmp, pid, o->pid, KCMP_FILE, fd, o->fd);

	if (r < 0) {
		*fail = -errno;
		return 1;
	}
	return r == 0 ? 0 : r == 1 ? -1 : 1;
}

int ofd_find(struct ofd_table *t, const struct ofd_key *key, pid_t pid, int fd, struct ofd **ret,
	     struct err *err)
{
	struct bucket *b = bucket_of(t, key);
	size_t lo = 0, hi = b->ofds.len;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		int fail = 0;
		int c = compare(pid, fd, &b->ofds.data[mid], &fail);

		if (fail)
			return err_sys(err, fail, "kcmp(%d, %d, KCMP_FILE, %d, %d)", pid,
				       b->ofds.data[mid].pid, fd, b->ofds.data[mid].fd);
		if (c == 0) {
			*ret = &b->ofds.data[mid];
			return 1;
		}
		if (c < 0)
			hi = mid;
		else
			lo = mid + 1;
	}
	(void)vec_push(&b->ofds);
	memmove(&b->ofds.data[lo + 1], &b->ofds.data[lo],
		(b->ofds.len - 1 - lo) * sizeof(struct ofd));
	b->ofds.data[lo] = (struct ofd){.pid = pid, .fd = fd};
	*ret = &b->ofds.data[lo];
	return 0;
}
