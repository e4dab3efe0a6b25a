/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Space. The file is mapped once, far beyond its end, and grows below the mapping: a record has an
 * address from the start, and no thread ever has to wait for another one to map something. Pages
 * that the file doesn't have yet are never touched: fallocate() comes first, so that a full disk is
 * seen here as an error, and not as SIGBUS. Two that grow the file at once do no harm to each
 * other.
 *
 * Records. A site's format was translated into steps when the log was opened; a step says how to
 * take an argument off the list and what to store. A record is put together on the stack, its space
 * is taken, it is copied, and at last its first word makes it valid. Who dies in between leaves a
 * hole that readers pass over.
 */
#include "base/log_binary.h"

#include "base/auto.h"
#include "base/crc32c.h"
#include "base/io.h"
#include "base/log_file.h"
#include "base/log_sites.h"
#include "base/parse.h"

#include <fcntl.h>
#include <float.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>

#define MAP_MOST       (64ull << 30) /* of address space; the log ends there */
#define MAP_LEAST      (16ull << 20)
#define GROW	       (1ull << 20)  /* of the file */
#define WARM	       (64ull << 10) /* pages made ready for writing at a time */
#define KEEP_MAPPED    (8ull << 20)  /* behind the tail; older pages leave our address space */
#define PAGE	       4096ull
#define UUID_LEN       36
#define CLOSED_TAIL    (1ull << 62)
#define LOG_FILE_MODE  0600 /* paths of programs are nobody's business */
#define FIXED_STEP_MAX 16u  /* bytes of an argument that isn't a string */
#define STRINGS_END    (LOG_RECORD_MAX - LOG_STEPS_MAX * FIXED_STEP_MAX)

extern struct log_site __start_torpor_log[] __attribute__((weak, visibility("hidden")));
extern struct log_site __stop_torpor_log[] __attribute__((weak, visibility("hidden")));

/* Changes while it is written, by several processes: log_file.h has the plain form. */
struct live {
	_Atomic uint64_t tail, limit, dropped;
	_Atomic uint32_t closed;
};
_Static_assert(offsetof(struct live, closed) == offsetof(struct log_file_live, closed),
	       "the same in other words");

static struct {
	int fd;
	uint8_t *map;
	uint64_t map_len;
	struct live *live;
	/* This process may write up to here without asking anybody. */
	_Atomic uint64_t ready;
	_Atomic uint64_t dropped_pages; /* up to here our mappings of pages were given up */
	/* On a page that a forked process finds empty. */
	_Atomic pid_t *pid;
} bin = {.fd = -EBADF};

static _Thread_local struct {
	pid_t pid, tid;
} self;

/* ------------------------------------------------------------------ space */

static uint64_t round_up(uint64_t n, uint64_t to)
{
	return (n + to - 1) / to * to;
}

/* Space for the file up to `end`, which is then its limit for all processes. */
static bool grow(uint64_t end)
{
	uint64_t limit = atomic_load(&bin.live->limit), size = round_up(end, GROW);
	int r;

	if (atomic_load(&bin.live->closed) || size > bin.map_len)
		return false;
	do {
		r = fallocate(bin.fd, 0, (off_t)limit, (off_t)(size - limit));
	} while (r < 0 && errno == EINTR);
	if (r < 0)
		return false;
	while (limit < size && !atomic_compare_exchange_weak(&bin.live->limit, &limit, size))
		;
	return true;
}

/* A log of gigabytes shouldn't fill our page tables. A page that is in use comes back by itself. */
static void give_up_pages(uint64_t end)
{
	uint64_t from = atomic_load(&bin.dropped_pages), to = end - KEEP_MAPPED;

	if (end < from + 2 * KEEP_MAPPED ||
	    !atomic_compare_exchange_strong(&bin.dropped_pages, &from, to))
		return;
	(void)madvise(bin.map + from, to - from, MADV_DONTNEED); /* or they stay */
}

/*
 * Makes the pages up to `end` writable at once, some in advance: cheaper than a fault for each. Old
 * kernels don't know how (EINVAL), and fault.
 */
static bool make_ready(uint64_t end)
{
	uint64_t ready = atomic_load(&bin.ready), to = round_up(end, WARM);

	if (end <= ready)
		return true; /* another thread was here first */
	if (!bin.map || bin.fd < 0 || end > bin.map_len)
		return false;
	if (end > atomic_load(&bin.live->limit) && !grow(end))
		return false;
	to = MIN(to, atomic_load(&bin.live->limit));
	if (madvise(bin.map + ready, to - ready, MADV_POPULATE_WRITE) < 0 && errno != EINVAL)
		return false;
	give_up_pages(to / PAGE * PAGE);
	while (ready < to && !atomic_compare_exchange_weak(&bin.ready, &ready, to))
		;
	return true;
}

/* NULL: there is none. */
static uint64_t *take_space(size_t len)
{
	uint64_t at = atomic_load_explicit(&bin.live->tail, memory_order_relaxed);

	do {
		if (at + len > atomic_load_explicit(&bin.ready, memory_order_relaxed) &&
		    !make_ready(at + len)) {
			atomic_fetch_add(&bin.live->dropped, 1);
			return NULL;
		}
	} while (!atomic_compare_exchange_weak(&bin.live->tail, &at, at + len));
	return (uint64_t *)(bin.map + at);
}

/* ---------------------------------------------------------------- records */

struct packer {
	uint8_t *p, *strings_end, *end;
};

static void put_fixed(struct packer *k, const void *value, size_t len)
{
	memcpy(k->p, value, len);
	k->p += len;
}

/* Without what the stack has in its padding. */
static void put_long_double(struct packer *k, long double value)
{
	uint8_t bytes[FIXED_STEP_MAX] = {0};

	_Static_assert(sizeof(value) <= sizeof(bytes), "a long double");
	memcpy(bytes, &value, LDBL_MANT_DIG == 64 ? 10 : sizeof(value));
	put_fixed(k, bytes, sizeof(bytes));
}

/* At most `precision` bytes are looked at. */
static void put_string(struct packer *k, const char *s, size_t precision)
{
	size_t room = k->p + 2 < k->strings_end ? (size_t)(k->strings_end - k->p) - 2 : 0;
	size_t most = MIN(room, LOG_STR_MAX), n;
	uint16_t head = LOG_STR_NULL;

	if (!s) {
		put_fixed(k, &head, sizeof(head));
		return;
	}
	n = strnlen(s, MIN(precision, most));
	head = (uint16_t)n;
	if (n == most && precision > most && s[n])
		head |= LOG_STR_CUT;
	put_fixed(k, &head, sizeof(head));
	put_fixed(k, s, n);
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
static void put_text(struct packer *k, const char *fmt, va_list ap)
{
	size_t room = (size_t)(k->end - k->p) - 2;
	int n = vsnprintf((char *)k->p + 2, room, fmt, ap);
	uint16_t head = (uint16_t)(n < 0 ? 0 : MIN((size_t)n, room - 1));

	if (n > head)
		head |= LOG_STR_CUT;
	memcpy(k->p, &head, sizeof(head));
	k->p += 2 + (head & ~LOG_STR_CUT);
}
#pragma GCC diagnostic pop

static void put_args(struct packer *k, const struct log_site *site, int saved_errno,
		     const char *fmt, va_list ap)
{
	uint64_t wide;
	double d;
	int i = 0;

	for (uint8_t at = 0; at < site->nsteps; at++) {
		switch (site->steps[at]) {
		case STEP_INT:
			i = va_arg(ap, int);
			put_fixed(k, &i, sizeof(i));
			break;
		case STEP_LONG:
			wide = va_arg(ap, uint64_t);
			put_fixed(k, &wide, sizeof(wide));
			break;
		case STEP_DOUBLE:
			d = va_arg(ap, double);
			put_fixed(k, &d, sizeof(d));
			break;
		case STEP_LDOUBLE:
			put_long_double(k, va_arg(ap, long double));
			break;
		case STEP_ERRNO:
			put_fixed(k, &saved_errno, sizeof(saved_errno));
			break;
		case STEP_STR:
			put_string(k, va_arg(ap, const char *), SIZE_MAX);
			break;
		case STEP_STR_ARG:
			put_string(k, va_arg(ap, const char *), i < 0 ? SIZE_MAX : (size_t)i);
			break;
		case STEP_STR_MAX:
			put_string(k, va_arg(ap, const char *),
				   site->steps[at + 1] | (size_t)site->steps[at + 2] << 8);
			at += 2;
			break;
		default:
			put_text(k, fmt, ap);
		}
	}
}

/* A forked process finds the page empty; the thread that forked is the only one in it. */
static void know_yourself(void)
{
	pid_t pid = atomic_load_explicit(bin.pid, memory_order_relaxed);

	if (pid && pid == self.pid)
		return;
	if (!pid) {
		pid = getpid();
		atomic_store(bin.pid, pid);
	}
	self.pid = pid;
	self.tid = (pid_t)syscall(SYS_gettid);
}

/*
 * Space that was taken already says so in its first word; the last write makes it a record. The
 * words are summed up while they are copied.
 */
static void publish(uint64_t *at, const uint64_t *words, struct log_record head)
{
	uint64_t first, sum = log_sum_begin(head.site, head.words);

	head.mark = LOG_MARK_OPEN;
	memcpy(&first, &head, sizeof(first));
	__atomic_store_n(at, first, __ATOMIC_RELAXED);
	atomic_signal_fence(memory_order_seq_cst);
	for (uint16_t i = 1; i < head.words; i++) {
		sum = log_sum_add(sum, words[i]);
		at[i] = words[i];
	}
	head.sum = log_sum_end(sum);
	head.mark = LOG_MARK_DONE;
	memcpy(&first, &head, sizeof(first));
	__atomic_store_n(at, first, __ATOMIC_RELEASE);
}

void log_binary_write(const struct log_site *site, uint64_t ns, const char *fmt, va_list ap)
{
	uint64_t words[LOG_RECORD_MAX / sizeof(uint64_t)];
	uint8_t *bytes = (uint8_t *)words;
	struct packer k = {bytes + sizeof(struct log_record), bytes + STRINGS_END,
			   bytes + sizeof(words)};
	struct log_record head = {.site = (uint16_t)(site - __start_torpor_log), .ns = ns};
	uint64_t *at;

	if (!bin.map)
		return;
	put_args(&k, site, errno, fmt, ap);
	know_yourself();
	head.pid = (uint32_t)self.pid;
	head.tid = (uint32_t)self.tid;
	memset(k.p, 0, (size_t) - (k.p - bytes) % sizeof(uint64_t));
	head.words = (uint16_t)((size_t)(k.p - bytes + 7) / sizeof(uint64_t));
	memcpy(words, &head, sizeof(head));
	at = take_space(head.words * sizeof(uint64_t));
	if (at)
		publish(at, words, head);
}

/* --------------------------------------------------------------- the head */

static void fill_head(struct log_file_head *h)
{
	auto_free char *boot = NULL;
	struct timespec wall, mono;
	uint64_t past;

	clock_gettime(CLOCK_MONOTONIC, &mono);
	clock_gettime(CLOCK_REALTIME, &wall);
	past = (uint64_t)mono.tv_sec * 1000000000 + (uint64_t)mono.tv_nsec - log_start_ns();
	*h = (struct log_file_head){
		.magic = LOG_FILE_MAGIC,
		.version = LOG_FILE_VERSION,
		.byte_order = LOG_FILE_BYTE_ORDER,
		.pid = (uint32_t)getpid(),
		.wall_ns = (uint64_t)wall.tv_sec * 1000000000 + (uint64_t)wall.tv_nsec - past,
		.mono_ns = log_start_ns(),
		.level = (uint32_t)log_threshold,
		.ldouble_bits = LDBL_MANT_DIG,
	};
	str_copy(h->torpor, sizeof(h->torpor), TORPOR_VERSION);
	if (io_read_file(AT_FDCWD, "/proc/sys/kernel/random/boot_id", &boot, NULL) >= 0)
		str_copy(h->boot_id, UUID_LEN + 1, boot);
}

struct begin {
	struct log_file_head head;
	char *cmdline;
	uint64_t len; /* of all before the records */
};

static void measure(struct begin *b)
{
	size_t len = 0;

	fill_head(&b->head);
	if (io_read_file(AT_FDCWD, "/proc/self/cmdline", &b->cmdline, &len) < 0)
		len = 0;
	b->head.cmdline_len = (uint32_t)MIN(len, LOG_CMDLINE_MAX);
	for (struct log_site *s = __start_torpor_log; s < __stop_torpor_log; s++) {
		log_site_prepare(s);
		b->head.table_len += (uint32_t)log_site_put(s, NULL);
	}
	b->head.nsites = (uint32_t)(__stop_torpor_log - __start_torpor_log);
	b->len = round_up(LOG_FILE_CMDLINE + b->head.cmdline_len + b->head.table_len, 8);
	b->head.records = b->len;
}

static void write_head(struct begin *b)
{
	uint8_t *p = bin.map + LOG_FILE_CMDLINE;

	if (b->head.cmdline_len)
		memcpy(p, b->cmdline, b->head.cmdline_len);
	p += b->head.cmdline_len;
	for (const struct log_site *s = __start_torpor_log; s < __stop_torpor_log; s++)
		p += log_site_put(s, p);
	b->head.crc = crc32c(0, &b->head, sizeof(b->head));
	b->head.crc = crc32c(b->head.crc, bin.map + LOG_FILE_CMDLINE,
			     b->head.cmdline_len + b->head.table_len);
	atomic_store(&bin.live->tail, b->len);
	memcpy(bin.map, &b->head, sizeof(b->head));
}

/* -------------------------------------------------------- opening, closing */

static bool is_log(const char *path)
{
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	char magic[8];

	return fd >= 0 && io_pread_full(fd, magic, sizeof(magic), 0) >= 0 &&
	       memcmp(magic, LOG_FILE_MAGIC, sizeof(magic)) == 0;
}

void log_binary_remove(const char *path)
{
	if (is_log(path))
		(void)unlink(path); /* or it stays: it says in its head of which run it is */
}

/*
 * Not the old file, emptied: who has that one mapped still, or reads it, isn't disturbed. The lock
 * is there as long as somebody can write, which tells readers when to stop waiting.
 */
static int make_file(const char *path, struct err *err)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	int fd;

	log_binary_remove(path);
	fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, LOG_FILE_MODE);
	if (fd < 0)
		return err_sys(err, -errno, "binary log %s", path);
	(void)fcntl(fd, F_OFD_SETLK, &lock); /* or the file system has none: only for --follow */
	return fd;
}

static int map_file(uint64_t len, struct err *err)
{
	uint64_t map_len = MAP_MOST;
	void *p;

	if (fallocate(bin.fd, 0, 0, (off_t)round_up(len, GROW)) < 0)
		return err_sys(err, -errno, "space for the binary log");
	do {
		p = mmap(NULL, map_len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, bin.fd,
			 0);
	} while (p == MAP_FAILED && (map_len /= 2) >= MAP_LEAST);
	if (p == MAP_FAILED)
		return err_sys(err, -errno, "map the binary log");
	bin.map = p;
	bin.map_len = map_len;
	bin.live = (struct live *)(bin.map + LOG_FILE_LIVE);
	if (madvise(p, round_up(len, WARM), MADV_POPULATE_WRITE) < 0 && errno != EINVAL)
		return err_sys(err, -errno, "write to the mapped binary log");
	atomic_store(&bin.ready, round_up(len, WARM));
	atomic_store(&bin.live->limit, round_up(len, GROW));
	return 0;
}

static int make_pid_page(struct err *err)
{
	void *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return err_sys(err, -errno, "memory for the binary log");
	bin.pid = p;
	if (madvise(p, PAGE, MADV_WIPEONFORK) < 0)
		return err_sys(err, -errno, "memory that isn't inherited");
	return 0;
}

static void let_go(void)
{
	if (bin.map)
		munmap(bin.map, bin.map_len);
	if (bin.pid)
		munmap((void *)bin.pid, PAGE);
	bin.fd = fd_close(bin.fd);
	bin.map = NULL;
	bin.live = NULL;
	bin.pid = NULL;
	atomic_store(&bin.ready, 0);
	atomic_store(&bin.dropped_pages, 0);
}

int log_binary_open(const char *path, struct err *err)
{
	struct begin b = {0};
	int r;

	bin.fd = make_file(path, err);
	if (bin.fd < 0)
		return bin.fd;
	measure(&b);
	r = b.head.nsites > UINT16_MAX ? err_bug(err, "too many call sites") : map_file(b.len, err);
	if (r >= 0)
		r = make_pid_page(err);
	if (r >= 0)
		write_head(&b);
	free(b.cmdline);
	if (r < 0) {
		(void)unlink(path); /* made just now, and empty */
		let_go();
	}
	return r;
}

void log_binary_close(void)
{
	uint64_t end;

	if (!bin.map)
		return;
	/* From here on nobody finds space; what is being written has a page still. */
	atomic_store(&bin.live->closed, 1);
	end = atomic_exchange(&bin.live->tail, CLOSED_TAIL);
	if (end < CLOSED_TAIL)
		(void)!ftruncate(bin.fd, (off_t)end); /* or it has zeros at its end */
	let_go();
}

int log_binary_fd(void)
{
	return bin.fd;
}

bool log_binary_fault(const void *addr)
{
	uint64_t at = (uint64_t)(uintptr_t)addr, map = (uint64_t)(uintptr_t)bin.map;
	void *page = (void *)(uintptr_t)(at / PAGE * PAGE);

	if (!bin.map || at < map || at >= map + bin.map_len)
		return false;
	bin.fd = -1; /* left open, that its number doesn't become somebody else's */
	atomic_store(&bin.ready, 0);
	return mmap(page, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
		    0) != MAP_FAILED;
}
