/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A dump of this process's own files, and what is made of the images again: file/. No tracing is
 * needed for descriptors of our own, so no root either.
 */
#include "base/auto.h"
#include "file/kind.h"
#include "file/reg.h"
#include "file/remap.h"
#include "image/buildid.h"
#include "image/schema/eventfd.pb-c.h"
#include "image/schema/ghost-file.pb-c.h"
#include "image/schema/pipe-data.pb-c.h"
#include "image/schema/regfile.pb-c.h"
#include "image/schema/remap-file-path.pb-c.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include <cmocka.h>

struct fixture {
	char dir[64];
	struct arena *a;
	struct img_dir img;
	struct file_opts opts;
	struct files *f;
	struct target t;
	struct err err;
};

static int setup(void **state)
{
	struct fixture *x = calloc(1, sizeof(*x));

	strcpy(x->dir, "/tmp/test-files-XXXXXX");
	assert_non_null(mkdtemp(x->dir));
	x->a = arena_new();
	x->img.fd = open(x->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	x->img.work_fd = x->img.fd;
	x->img.path = x->dir;
	x->opts.ghost_limit = UINT64_MAX;
	x->f = files_new(&x->img, &x->opts, x->a);
	x->t.pid = x->t.vpid = getpid();
	strcpy(x->t.comm, "test");
	x->t.proc = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);
	x->t.pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0);
	x->err = ERR_INIT;
	*state = x;
	return x->t.pidfd < 0 ? -1 : 0;
}

static int teardown(void **state)
{
	struct fixture *x = *state;
	char cmd[128];

	files_free(x->f);
	arena_free(x->a);
	close(x->img.fd);
	close(x->t.proc);
	close(x->t.pidfd);
	snprintf(cmd, sizeof(cmd), "rm -r %s", x->dir);
	assert_int_equal(system(cmd), 0);
	free(x);
	return 0;
}

static const char *in(struct fixture *x, const char *name)
{
	return arena_printf(x->a, "%s/%s", x->dir, name);
}

/* Dumps one of our descriptors: 0, or the error that it was refused with. */
static int dump_fd(struct fixture *x, int fd, uint32_t *id)
{
	auto_fdesc struct fdesc d = {.local = -EBADF};

	TRY(fdesc_identify(&x->t, fd, &d, x->a, &x->err));
	TRY(fdesc_collect(&d, x->a, &x->err));
	*id = files_new_id(x->f);
	return file_kind_match(x->f, &d)->dump(x->f, &d, *id, &x->err);
}

static const FileEntry *entry_of(struct fixture *x, uint32_t id)
{
	vec_foreach (e, &x->f->entries)
		if ((*e)->id == id)
			return *e;
	fail_msg("no entry with id %u", id);
	return NULL;
}

/* ------------------------------------------------------------- the dump */

static void test_regular(void **state)
{
	struct fixture *x = *state;
	auto_close int fd = open(in(x, "file"), O_RDWR | O_CREAT | O_CLOEXEC, 0640);
	const RegFileEntry *e;
	uint32_t id;

	assert_int_equal(write(fd, "0123456789", 10), 10);
	assert_int_equal(lseek(fd, 4, SEEK_SET), 4);
	assert_int_equal(dump_fd(x, fd, &id), 0);
	e = entry_of(x, id)->reg;
	assert_string_equal(e->name, in(x, "file"));
	assert_int_equal(e->pos, 4);
	assert_int_equal(e->flags, KERNEL_O_LARGEFILE | O_RDWR);
	assert_true(e->has_size && e->size == 10);
	assert_int_equal(e->mode & 0777, 0640);
}

/* Others may go on appending: its size isn't compared at the restore. */
static void test_log_has_no_size(void **state)
{
	struct fixture *x = *state;
	auto_close int fd = open(in(x, "log"), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	uint32_t id;

	assert_int_equal(dump_fd(x, fd, &id), 0);
	assert_false(entry_of(x, id)->reg->has_size);
}

static void test_eventfd(void **state)
{
	struct fixture *x = *state;
	auto_close int fd = eventfd(7, EFD_NONBLOCK | EFD_CLOEXEC);
	uint32_t id;

	assert_int_equal(dump_fd(x, fd, &id), 0);
	assert_int_equal(entry_of(x, id)->efd->counter, 7);
	assert_int_equal(entry_of(x, id)->efd->flags, O_RDWR | O_NONBLOCK);
}

/* The image has what is in the pipe, and the pipe still has it. */
static void test_pipe_is_peeked(void **state)
{
	struct fixture *x = *state;
	auto_img_reader struct img_reader *rd = NULL;
	struct mem_stats stats = {.next_pages_id = 1};
	PipeDataEntry *e;
	uint32_t r, w;
	char buf[16];
	int p[2], left;

	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	assert_int_equal(write(p[1], "pipe-bytes", 10), 10);
	assert_int_equal(dump_fd(x, p[0], &r), 0);
	assert_int_equal(dump_fd(x, p[1], &w), 0);
	assert_int_equal(entry_of(x, r)->pipe->pipe_id, entry_of(x, w)->pipe->pipe_id);
	assert_int_equal(pipe_kind.dump_finish(x->f, &stats, &x->err), 0);
	assert_int_equal(ioctl(p[0], FIONREAD, &left), 0);
	assert_int_equal(left, 10);
	assert_int_equal(img_open(&x->img, IMG_PIPES_DATA, 0, &rd, &x->err), 0);
	assert_int_equal(img_get(rd, x->a, &e, &x->err), 1);
	assert_int_equal(e->bytes, 10);
	assert_int_equal(e->size, 65536);
	assert_int_equal(img_get_raw(rd, buf, 10, &x->err), 0);
	assert_memory_equal(buf, "pipe-bytes", 10);
	close(p[0]);
	close(p[1]);
}

static void test_refusals(void **state)
{
	struct fixture *x = *state;
	int p[2];
	uint32_t id;

	assert_int_equal(pipe2(p, O_CLOEXEC | O_DIRECT), 0);
	assert_int_equal(dump_fd(x, p[1], &id), -ENOTSUP);
	assert_int_equal(x->err.kind, ERR_REFUSED);
	assert_non_null(strstr(x->err.text, "packet mode"));
	assert_true(x->err.hint[0]);
	close(p[0]);
	close(p[1]);
}

/* Another name exists: without --link-remap nobody could find it again. */
static void test_unlinked_with_other_name(void **state)
{
	struct fixture *x = *state;
	auto_close int fd = open(in(x, "one"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	uint32_t id;

	assert_int_equal(link(in(x, "one"), in(x, "two")), 0);
	assert_int_equal(unlink(in(x, "one")), 0);
	assert_int_equal(dump_fd(x, fd, &id), -ENOTSUP);
	assert_non_null(strstr(x->err.hint, "--link-remap"));
	x->err = ERR_INIT;
	x->f->opts.link_remap = true;
	assert_int_equal(dump_fd(x, fd, &id), 0);
	assert_string_equal(entry_of(x, id)->reg->name, in(x, "one"));
	/* Gone again if the tree goes on. */
	files_dump_undo(x->f);
	for (uint32_t i = 0; i < 10; i++)
		assert_int_equal(access(in(x, arena_printf(x->a, "link_remap.%u", i)), F_OK), -1);
}

/* ------------------------------------------------------------------ ghosts */

static int make_ghost(struct fixture *x, const char *name, off_t hole_to)
{
	int fd = open(in(x, name), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0604);

	assert_int_equal(pwrite(fd, "start", 5, 0), 5);
	if (hole_to)
		assert_int_equal(pwrite(fd, "end", 3, hole_to), 3);
	assert_int_equal(unlink(in(x, name)), 0);
	return fd;
}

static int load_ghost(struct fixture *x, struct rfiles *rf, uint32_t id, struct rghost **g)
{
	*rf = (struct rfiles){.dir = &x->img, .a = x->a, .root = open("/", O_PATH | O_CLOEXEC)};
	return rghost_load(rf, IMG_GHOST_FILE, id, g, &x->err);
}

static void check_ghost(struct fixture *x, uint32_t id, int original)
{
	struct rfiles rf;
	struct rghost *g;
	struct stat a, b;
	auto_close int base = -EBADF, fd = -EBADF;
	char buf[8] = "";

	assert_int_equal(load_ghost(x, &rf, id, &g), 0);
	base = rghost_open(&rf, g, in(x, "again"), &x->err);
	assert_true(base >= 0);
	fd = fd_reopen(base, O_RDWR);
	assert_true(fd >= 0 && fstat(fd, &a) == 0 && fstat(original, &b) == 0);
	assert_int_equal(a.st_size, b.st_size);
	assert_int_equal(a.st_mode, b.st_mode);
	assert_int_equal(a.st_nlink, 0);
	if (b.st_size >= 12288)
		assert_int_equal(lseek(fd, 0, SEEK_HOLE), lseek(original, 0, SEEK_HOLE));
	assert_int_equal(pread(fd, buf, 5, 0), 5);
	assert_string_equal(buf, "start");
	if (b.st_size > 5) {
		assert_int_equal(pread(fd, buf, 3, b.st_size - 3), 3);
		assert_memory_equal(buf, "end", 3);
	}
	rghosts_done(&rf);
	close(rf.root);
}

/* Small ones as they are, from 12288 bytes in chunks; holes come back as holes. */
static void test_ghosts(void **state)
{
	static const off_t ends[] = {0, 12288 - 4, 12288 - 3, 1 << 20};
	struct fixture *x = *state;
	int fds[4];

	for (size_t i = 0; i < 4; i++) {
		uint32_t id;

		fds[i] = make_ghost(x, "ghost", ends[i]);
		assert_int_equal(dump_fd(x, fds[i], &id), 0);
	}
	assert_int_equal(ghosts_finish(x->f, &x->err), 0);
	for (size_t i = 0; i < 4; i++) {
		auto_img_reader struct img_reader *rd = NULL;
		GhostFileEntry *e;

		assert_int_equal(img_open(&x->img, IMG_GHOST_FILE, i + 1, &rd, &x->err), 0);
		assert_int_equal(img_get(rd, x->a, &e, &x->err), 1);
		assert_int_equal(e->chunks, ends[i] + 3 >= 12288);
		check_ghost(x, (uint32_t)i + 1, fds[i]);
		close(fds[i]);
	}
}

static void test_one_ghost_for_all(void **state)
{
	struct fixture *x = *state;
	auto_close int fd = make_ghost(x, "ghost", 0), again = fd_reopen(fd, O_RDONLY);
	uint32_t a, b;

	assert_int_equal(dump_fd(x, fd, &a), 0);
	assert_int_equal(dump_fd(x, again, &b), 0);
	assert_int_equal(ghosts_finish(x->f, &x->err), 0);
	assert_int_equal(access(in(x, "ghost-file-1.img"), F_OK), 0);
	assert_int_equal(access(in(x, "ghost-file-2.img"), F_OK), -1);
}

static void test_ghost_limit(void **state)
{
	struct fixture *x = *state;
	auto_close int fd = make_ghost(x, "ghost", 100000);
	uint32_t id;

	x->f->opts.ghost_limit = 4096;
	assert_int_equal(dump_fd(x, fd, &id), -ENOTSUP);
	assert_non_null(strstr(x->err.hint, "--ghost-limit"));
	assert_non_null(strstr(x->err.text, in(x, "ghost")));
}

/* Chunks that overlap, go back or reach behind the end are refused before anything is made. */
static void test_damaged_ghosts(void **state)
{
	static const struct {
		uint64_t off[2], len[2];
	} bad[] = {
		{{0, 0}, {4, 4}},	   {{8, 0}, {4, 4}},	      {{0, 2}, {4, 4}},
		{{99999, 100001}, {1, 1}}, {{99999, 100000}, {4, 0}}, {{UINT64_MAX, 0}, {4, 4}},
		{{0, 8}, {4, UINT64_MAX}},
	};
	struct fixture *x = *state;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		auto_img_writer struct img_writer *w = NULL;
		GhostFileEntry e = GHOST_FILE_ENTRY__INIT;
		struct rfiles rf;
		struct rghost *g;

		e.mode = S_IFREG | 0600;
		e.has_chunks = e.chunks = e.has_size = true;
		e.size = 100000;
		assert_int_equal(img_create(&x->img, IMG_GHOST_FILE, 100 + i, &w, &x->err), 0);
		assert_int_equal(img_put(w, &e.base, &x->err), 0);
		for (int k = 0; k < 2; k++) {
			GhostChunkEntry c = GHOST_CHUNK_ENTRY__INIT;

			c.off = bad[i].off[k];
			c.len = bad[i].len[k];
			assert_int_equal(img_put(w, &c.base, &x->err), 0);
			assert_int_equal(img_put_raw(w, "datadata", c.len < 8 ? c.len : 8, &x->err),
					 0);
		}
		assert_int_equal(img_close(TAKE_PTR(w), &x->err), 0);
		assert_true(load_ghost(x, &rf, (uint32_t)(100 + i), &g) < 0);
		assert_int_equal(x->err.kind, ERR_INPUT);
		x->err = ERR_INIT;
		close(rf.root);
	}
}

/* --------------------------------------------------------------- build ids */

struct note {
	Elf64_Nhdr h;
	char name[4];
	uint8_t id[20];
};

/* A file that is nothing but headers and a note. */
static int elf_with(const struct note *n, uint64_t off, uint64_t len)
{
	const Elf64_Ehdr h = {
		.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
		.e_phoff = sizeof(Elf64_Ehdr),
		.e_phnum = 1,
		.e_phentsize = sizeof(Elf64_Phdr),
	};
	const Elf64_Phdr p = {.p_type = PT_NOTE, .p_offset = off, .p_filesz = len, .p_align = 4};
	int fd = memfd_create("elf", MFD_CLOEXEC);

	assert_int_equal(write(fd, &h, sizeof(h)), sizeof(h));
	assert_int_equal(write(fd, &p, sizeof(p)), sizeof(p));
	assert_int_equal(write(fd, n, sizeof(*n)), sizeof(*n));
	return fd;
}

static void test_build_id(void **state)
{
	const uint64_t at = sizeof(Elf64_Ehdr) + sizeof(Elf64_Phdr);
	struct note n = {{4, 18, NT_GNU_BUILD_ID}, "GNU", {1, 2, 3, 4, 5}};
	uint32_t words[BUILD_ID_WORDS];
	auto_close int good = elf_with(&n, at, sizeof(n));
	auto_close int outside = elf_with(&n, UINT64_MAX - 4, sizeof(n));
	auto_close int cut = elf_with(&n, at, sizeof(n) - 8);
	auto_close int bad = -EBADF, null = open("/dev/null", O_RDONLY | O_CLOEXEC);

	assert_int_equal(build_id_read(good, words), 5); /* 18 bytes in words, the rest zero */
	assert_int_equal(words[0], 0x04030201);
	assert_int_equal(words[1], 5);
	assert_int_equal(words[4], 0);
	assert_int_equal(build_id_read(outside, words), 0);
	assert_int_equal(build_id_read(cut, words), 0);
	assert_int_equal(build_id_read(null, words), 0);
	n.h.n_namesz = n.h.n_descsz = UINT32_MAX;
	bad = elf_with(&n, at, sizeof(n));
	assert_int_equal(build_id_read(bad, words), 0);
}

/* ------------------------------------------------------------------ kinds */

/* Every type of the format has a row or is refused; no type has two. */
static void test_table(void **state)
{
	size_t supported = 0;

	for (size_t i = 0; i < file_nkinds; i++) {
		const struct file_kind *k = file_kinds[i];

		assert_true(k->match && k->dump && k->name);
		if (k->type == FD_TYPES__UND)
			continue;
		supported++;
		assert_ptr_equal(file_kind_of_type(k->type), k);
		assert_true(k->load && k->open);
	}
	assert_ptr_equal(file_kinds[file_nkinds - 1], &unknown_kind);
	assert_null(file_kind_of_type(FD_TYPES__UND));
	assert_null(file_kind_of_type(FD_TYPES__UNIXSK));
	assert_true(supported >= 6);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_regular),
		T(test_log_has_no_size),
		T(test_eventfd),
		T(test_pipe_is_peeked),
		T(test_refusals),
		T(test_unlinked_with_other_name),
		T(test_ghosts),
		T(test_one_ghost_for_all),
		T(test_ghost_limit),
		T(test_damaged_ghosts),
		cmocka_unit_test(test_build_id),
		cmocka_unit_test(test_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
