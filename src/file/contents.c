/* SPDX-License-Identifier: Apache-2.0 */
#include "file/contents.h"

#include "base/auto.h"
#include "base/crc32c.h"
#include "base/pool.h"
#include "base/vec.h"
#include "file/path.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>

#define SLOTS	1024
#define AT_ONCE (64u * 1024)	      /* bytes that aren't worth a thread */
#define PIECE	(64ull * 1024 * 1024) /* of a large file, for one thread */
#define PIECES	1024		      /* of one file, at most */

/* Not in all versions of <linux/magic.h>. */
#define CONFIGFS_MAGIC	 0x62656570
#define FUSECTL_MAGIC	 0x65735543
#define MQUEUE_MAGIC	 0x19800202
#define RPC_PIPE_MAGIC	 0x67596969
#define NFSD_MAGIC	 0x6e667364
#define RESCTRL_MAGIC	 0x7655821
#define XENFS_MAGIC	 0xabba1974
#define FUNCTIONFS_MAGIC 0xa647361

struct piece {
	struct sum *sum;
	uint64_t from, to;
	uint32_t crc;
	int error;
};

struct sum {
	struct sum *next;
	const struct contents *c;
	const struct content *o;
	struct sum_spec spec;
	uint64_t size;
	struct piece *pieces; /* in order */
	size_t npieces;
};

struct content {
	struct content *next;
	const char *name;
	uint32_t number;
	unsigned int marks;
	dev_t dev;
	ino_t ino;
	off_t size;
	struct timespec mtime, ctime;
	bool knows_build_id;
	size_t nwords;
	uint32_t words[BUILD_ID_WORDS];
	struct sum *sums;
};

struct contents {
	int root;
	struct arena *a;
	struct pool *pool; /* NULL until there is something large */
	uint32_t n;
	struct content *slots[SLOTS];
};

struct contents *contents_new(int root, struct arena *a)
{
	struct contents *c = arena_new_of(a, struct contents);

	c->root = root;
	c->a = a;
	return c;
}

void contents_free(struct contents *c)
{
	if (c)
		pool_free(TAKE_PTR(c->pool));
}

bool contents_are_real(uint64_t fs_magic)
{
	static const uint32_t made_up[] = {
		PROC_SUPER_MAGIC,    SYSFS_MAGIC,	 CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC,
		DEBUGFS_MAGIC,	     TRACEFS_MAGIC,	 SECURITYFS_MAGIC,   SELINUX_MAGIC,
		SMACK_MAGIC,	     CONFIGFS_MAGIC,	 PSTOREFS_MAGIC,     EFIVARFS_MAGIC,
		BPF_FS_MAGIC,	     BINFMTFS_MAGIC,	 MQUEUE_MAGIC,	     NSFS_MAGIC,
		DEVPTS_SUPER_MAGIC,  AUTOFS_SUPER_MAGIC, FUSECTL_MAGIC,	     RPC_PIPE_MAGIC,
		NFSD_MAGIC,	     RESCTRL_MAGIC,	 XENFS_MAGIC,	     FUNCTIONFS_MAGIC,
		ANON_INODE_FS_MAGIC, PIPEFS_MAGIC,	 SOCKFS_MAGIC,
	};

	for (size_t i = 0; i < ARRAY_SIZE(made_up); i++)
		if (fs_magic == made_up[i])
			return false;
	return true;
}

/* ------------------------------------------------------------------ inodes */

static bool is_same_time(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

static bool is_of(const struct content *o, const struct stat *st)
{
	return o->ino == st->st_ino && o->dev == st->st_dev && o->size == st->st_size &&
	       is_same_time(&o->mtime, &st->st_mtim) && is_same_time(&o->ctime, &st->st_ctim);
}

struct content *content_of(struct contents *c, const char *name, const struct stat *st)
{
	uint64_t h = (st->st_ino * 0x9e3779b97f4a7c15u) ^ (st->st_dev * 0xc2b2ae3d27d4eb4fu);
	struct content **slot = &c->slots[(h >> 32) % SLOTS], *o;

	for (o = *slot; o; o = o->next)
		if (is_of(o, st))
			return o;
	o = arena_new_of(c->a, struct content);
	*o = (struct content){
		.next = *slot,
		.name = name,
		.number = ++c->n,
		.dev = st->st_dev,
		.ino = st->st_ino,
		.size = st->st_size,
		.mtime = st->st_mtim,
		.ctime = st->st_ctim,
	};
	*slot = o;
	return o;
}

uint32_t content_number(const struct content *o)
{
	return o->number;
}

uint32_t contents_count(const struct contents *c)
{
	return c->n;
}

void content_mark(struct content *o, unsigned int bits)
{
	o->marks |= bits;
}

unsigned int content_marks(const struct content *o)
{
	return o->marks;
}

int content_open(const struct contents *c, const struct content *o)
{
	/* Waits for nobody who has a lease; and looking at it isn't the program's access. */
	const int flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
	auto_close int fd = openat(c->root, path_rel(o->name), flags | O_NOATIME);
	struct stat st;

	if (fd < 0 && errno == EPERM)
		fd = openat(c->root, path_rel(o->name), flags);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_ino != o->ino || st.st_dev != o->dev || !S_ISREG(st.st_mode))
		return -ESTALE;
	return TAKE_FD(fd);
}

/* --------------------------------------------------------------- build ids */

bool content_knows_build_id(const struct content *o)
{
	return o->knows_build_id;
}

void content_set_build_id(struct content *o, const void *id, size_t len)
{
	o->knows_build_id = true;
	o->nwords = (len + sizeof(o->words[0]) - 1) / sizeof(o->words[0]);
	memset(o->words, 0, sizeof(o->words));
	memcpy(o->words, id, MIN(len, sizeof(o->words)));
}

size_t content_build_id(struct contents *c, struct content *o, const uint32_t **ret)
{
	if (!o->knows_build_id) {
		auto_close int fd = content_open(c, o);

		o->nwords = fd < 0 ? 0 : build_id_read(fd, o->words);
		o->knows_build_id = true;
	}
	*ret = o->words;
	return o->nwords;
}

/* -------------------------------------------------------------------- sums */

static int run_piece(void *arg, struct err *err)
{
	struct piece *p = arg;
	auto_close int fd = content_open(p->sum->c, p->sum->o);

	(void)err; /* a file that can't be read is no reason not to look at the others */
	p->error = fd < 0 ? fd : sum_range(fd, &p->sum->spec, p->from, p->to, &p->crc);
	return 0;
}

static void start(struct contents *c, struct sum *s)
{
	struct err never = ERR_INIT;
	uint64_t reach = sum_reach(&s->spec, s->size);
	uint64_t step = MAX(PIECE, reach / PIECES + 1);

	s->npieces = (size_t)(reach / step + (reach % step != 0));
	s->pieces = arena_array_of(c->a, struct piece, s->npieces);
	for (size_t i = 0; i < s->npieces; i++)
		s->pieces[i] = (struct piece){
			.sum = s, .from = i * step, .to = MIN((i + 1) * step, reach)};
	if (reach <= AT_ONCE) {
		for (size_t i = 0; i < s->npieces; i++)
			(void)run_piece(&s->pieces[i], &never);
		return;
	}
	if (!c->pool)
		c->pool = pool_new(/* nthreads= */ 0);
	for (size_t i = 0; i < s->npieces; i++)
		pool_add(c->pool, run_piece, &s->pieces[i]);
}

static bool is_same_sum(const struct sum *s, const struct sum_spec *spec, uint64_t size)
{
	return s->size == size && s->spec.part == spec->part &&
	       (spec->part == SUM_FULL || s->spec.param == spec->param);
}

struct sum *content_sum(struct contents *c, struct content *o, const struct sum_spec *spec,
			uint64_t size)
{
	struct sum *s;

	for (s = o->sums; s; s = s->next)
		if (is_same_sum(s, spec, size))
			return s;
	s = arena_new_of(c->a, struct sum);
	*s = (struct sum){.next = o->sums, .c = c, .o = o, .spec = *spec, .size = size};
	o->sums = s;
	start(c, s);
	return s;
}

void contents_wait(struct contents *c)
{
	struct err never = ERR_INIT;

	if (!c->pool)
		return;
	(void)!pool_wait(c->pool, &never); /* pieces keep their errors to themselves */
	pool_free(TAKE_PTR(c->pool));	   /* who forks later has no threads */
}

int sum_result(const struct sum *s, uint32_t *ret)
{
	*ret = 0;
	for (size_t i = 0; i < s->npieces; i++) {
		const struct piece *p = &s->pieces[i];

		TRY(p->error);
		*ret = crc32c_combine(*ret, p->crc, sum_count(&s->spec, p->from, p->to));
	}
	return 0;
}
