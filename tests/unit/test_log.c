/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The binary log: what it shows is what printf would have printed; threads and processes don't tear
 * each other's lines; whatever happens to the writer or to the file, a reader finds all the rest.
 */
#include "base/arena.h"
#include "base/auto.h"
#include "base/io.h"
#include "base/log.h"
#include "base/log_binary.h"
#include "base/log_reader.h"
#include "base/vec.h"

#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <wchar.h>

#include <cmocka.h>

static char tmp[] = "/tmp/torpor-log-XXXXXX";
static char path[64];

static void begin(void)
{
	struct err err = ERR_INIT;

	log_init(LOG_DEBUG);
	if (log_binary_open(path, &err) < 0)
		fail_msg("%s", err.text);
	log_set_binary(true, LOG_NONE);
}

static void end(void)
{
	log_set_binary(false, LOG_DEBUG);
	log_binary_close();
}

struct lines {
	char **data;
	size_t len, cap;
	struct log_losses losses;
};

/* All messages of the file. */
static struct lines read_all(void)
{
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	auto_log_reader struct log_reader *r = NULL;
	char message[LOG_LINE_MAX];
	struct lines lines = {0};
	struct err err = ERR_INIT;
	struct log_entry e;
	int more;

	if (log_reader_open(fd, path, &r, &err) < 0)
		fail_msg("%s", err.text);
	while ((more = log_reader_next(r, false, &e, &err)) > 0) {
		size_t n = log_entry_message(&e, message, sizeof(message));

		assert_int_equal(n, strlen(message));
		*vec_push(&lines) = xstrdup(message);
	}
	assert_int_equal(more, 0);
	lines.losses = log_reader_losses(r);
	return lines;
}

static void free_lines(struct lines *lines)
{
	vec_foreach (line, lines)
		free(*line);
	vec_done(lines);
}

static void assert_no_losses(const struct lines *lines)
{
	assert_int_equal(lines->losses.damaged, 0);
	assert_int_equal(lines->losses.unfinished, 0);
	assert_int_equal(lines->losses.dropped, 0);
	assert_false(lines->losses.table);
}

/* ---------------------------------------------------------------- formats */

static VEC(char *) expected;

/* What printf makes of it, and the log. */
#define LINE(...)                                                                                  \
	do {                                                                                       \
		char line_[LOG_LINE_MAX];                                                          \
		int errno_ = errno;                                                                \
                                                                                                   \
		snprintf(line_, sizeof(line_), __VA_ARGS__);                                       \
		*vec_push(&expected) = xstrdup(line_);                                             \
		errno = errno_;                                                                    \
		log_debug(__VA_ARGS__);                                                            \
		assert_int_equal(errno, errno_);                                                   \
	} while (0)

static uint64_t seed = 88172645463325252u;

static uint64_t next_random(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

/* Of all magnitudes, and the limits. */
static uint64_t odd_number(void)
{
	static const uint64_t limits[] = {0,	     1,		 INT8_MAX,   UINT8_MAX,
					  INT16_MAX, UINT16_MAX, INT32_MAX,  UINT32_MAX,
					  INT64_MAX, UINT64_MAX, 1ull << 31, 1ull << 63};

	if (next_random() % 4 == 0)
		return limits[next_random() % ARRAY_SIZE(limits)];
	return next_random() >> (next_random() % 64);
}

static double odd_double(void)
{
	static const double limits[] = {0.0,	-0.0, 1.0,	   -1.5,     1e300,
					1e-300, 0.1,  123456789.0, INFINITY, NAN};

	if (next_random() % 3 == 0)
		return limits[next_random() % ARRAY_SIZE(limits)];
	return (double)(int64_t)next_random() / (double)(odd_number() | 1);
}

/* Up to `max` bytes that aren't 0, in memory that ends right behind them. */
static const char *odd_string(char buf[64], size_t max)
{
	size_t n = next_random() % (max + 1);

	for (size_t i = 0; i < n; i++)
		buf[i] = (char)(next_random() % 255 + 1);
	buf[n] = '\0';
	return buf;
}

static void integers(void)
{
	uint64_t n = odd_number();

	LINE("%d|%i|%u|%x|%X|%o", (int)n, (int)n, (unsigned int)n, (unsigned int)n, (unsigned int)n,
	     (unsigned int)n);
	LINE("%hhd|%hhu|%hhx|%hd|%hu|%ho", (signed char)n, (unsigned char)n, (unsigned char)n,
	     (short)n, (unsigned short)n, (unsigned short)n);
	LINE("%ld|%lu|%lx|%#lx|%lo", (long)n, (unsigned long)n, (unsigned long)n, (unsigned long)n,
	     (unsigned long)n);
	LINE("%lld|%llu|%#llX", (long long)n, (unsigned long long)n, (unsigned long long)n);
	LINE("%jd|%ju|%zd|%zu|%td", (intmax_t)n, (uintmax_t)n, (ssize_t)n, (size_t)n, (ptrdiff_t)n);
	LINE("%" PRIu64 " and %" PRIx64 " and %" PRId64 " and %" PRIu32 " and %" PRIu8, n, n,
	     (int64_t)n, (uint32_t)n, (uint8_t)n);
	LINE("[%5d][%-5d][%05d][%+d][% d][%#x][%#o]", (int)n, (int)n, (int)n, (int)n, (int)n,
	     (unsigned int)n, (unsigned int)n);
	LINE("[%.3d][%8.3d][%-8.3ld][%+.0d][%.0d]", (int)n, (int)n, (long)n, (int)n, (int)n);
	LINE("[%*d][%-*ld][%.*d][%*.*lx]", (int)(n % 40) - 20, (int)n, (int)(n % 7), (long)n,
	     (int)(n % 5) - 2, (int)n, (int)(n % 30), (int)(n % 10), (unsigned long)n);
	LINE("%c%c[%3c][%-3c]", (int)(n % 95 + 32), 'x', 'y', 'z');
	LINE("%p [%20p] [%-20p] %p", (void *)(uintptr_t)n, (void *)(uintptr_t)n,
	     (void *)(uintptr_t)n, (void *)0);
}

static void reals(void)
{
	int width = (int)(next_random() % 20);
	double d = odd_double();

	LINE("%f|%e|%g|%a|%F|%E|%G|%A", d, d, d, d, d, d, d, d);
	LINE("[%10.3f][%-12.2e][%+g][% .0f][%#.0f][%010.1f]", d, d, d, d, d, d);
	LINE("[%*.*f][%lf]", width, width / 2, d, d);
	LINE("%Lf %.3Le %Lg %La", (long double)d, (long double)d * 3, (long double)d / 7,
	     (long double)d);
}

static void strings(void)
{
	char a[64], b[64], *bare = malloc(10);
	int n = (int)(next_random() % 11), most = (int)(next_random() % 70) - 5;
	int width = (int)(next_random() % 40) - 20;

	odd_string(a, 63);
	odd_string(b, 9);
	LINE("%s|%s|%s", a, "", b);
	LINE("[%20s][%-20s][%.3s][%10.4s][%-10.4s][%.0s]", b, b, a, a, a, a);
	LINE("[%.*s][%*s][%-*.*s]", most, a, width, b, 12, most, a);
	/* Not terminated: the sanitizers see who looks at too much. */
	memcpy(bare, "0123456789", 10);
	LINE("<%.*s> <%.10s> <%.4s>", n, bare, bare, bare);
	free(bare);
	LINE("%d%%, 100%% of %s%%", n, b);
	LINE("nothing at all");
	LINE("%s", a);
}

static void errors(void)
{
	for (int i = 0; i < 140; i++) {
		errno = i;
		LINE("open: %m");
		LINE("%d: [%30m] [%-30m] [%.4m]", i);
	}
	errno = -5;
	LINE("%m, %s", "then");
}

/* Through a pointer that the compiler knows nothing of: it would warn. */
static void nulls(void)
{
	const char *volatile nothing = NULL;

	LINE("%s|%.3s|%.6s|%10s|%-10s|", nothing, nothing, nothing, nothing, nothing);
	LINE("%.*s", 3, nothing);
	LINE("%.*s", -1, nothing);
}

/* Not for records: they go as finished text. */
static void odd_formats(void)
{
	int n = (int)next_random();

	LINE("wide %ls and %lc", L"characters", (wint_t)'x');
	LINE("%s %s %s %s %s %s %s %s %s %s %s %s %s %s %s %s %s %s %s %s %s %s %s %s %s %s %s %s %s "
	     "%s %s %s %s %s %s %s %s %s %s %s %s %s %s %d",
	     "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15", "16",
	     "17", "18", "19", "20", "21", "22", "23", "24", "25", "26", "27", "28", "29", "30",
	     "31", "32", "33", "34", "35", "36", "37", "38", "39", "40", "41", "42", "43", n);
	LINE("%d %d %d %d %d %d %d %d %d %d %d %d %d %d %d %d %d %d %d %d", n, 1, 2, 3, 4, 5, 6, 7,
	     8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19);
}

static void test_formats(void **state)
{
	struct lines lines;

	begin();
	for (int i = 0; i < 500; i++) {
		integers();
		reals();
		strings();
		odd_formats();
	}
	errors();
	nulls();
	end();
	lines = read_all();
	assert_no_losses(&lines);
	assert_int_equal(lines.len, expected.len);
	for (size_t i = 0; i < lines.len; i++)
		assert_string_equal(lines.data[i], expected.data[i]);
	free_lines(&lines);
	vec_foreach (line, &expected)
		free(*line);
	vec_done(&expected);
}

/* Bounded, and saying so. */
static void test_long_strings(void **state)
{
	char big[3 * LOG_STR_MAX], just[LOG_STR_MAX + 1];
	struct lines lines;

	memset(big, 'b', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	memset(just, 'j', sizeof(just) - 1);
	just[sizeof(just) - 1] = '\0';
	begin();
	log_debug("%s.", just);
	log_debug("%s.", big);
	log_debug("%.*s.", (int)LOG_STR_MAX, big);
	log_debug("%s %s %s %s %s %d", big, big, big, big, big, 12345);
	end();
	lines = read_all();
	assert_no_losses(&lines);
	assert_int_equal(lines.len, 4);
	assert_int_equal(strlen(lines.data[0]), LOG_STR_MAX + 1);
	assert_int_equal(strlen(lines.data[1]), LOG_STR_MAX + strlen("[cut]."));
	assert_string_equal(lines.data[1] + LOG_STR_MAX, "[cut].");
	assert_int_equal(strlen(lines.data[2]), LOG_STR_MAX + 1);
	assert_true(strlen(lines.data[3]) < LOG_LINE_MAX);
	assert_string_equal(lines.data[3] + strlen(lines.data[3]) - 17, "[cut] [cut] 12345");
	free_lines(&lines);
}

/* The line as the text log has it, from both at once. */
static void test_same_lines(void **state)
{
	auto_free char *text = NULL;
	auto_close int text_fd = -EBADF;
	auto_log_reader struct log_reader *r = NULL;
	auto_close int fd = -EBADF;
	char line[LOG_LINE_MAX], name[80];
	struct err err = ERR_INIT;
	struct log_entry e;
	const char *p;

	snprintf(name, sizeof(name), "%s/text", tmp);
	text_fd = open(name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	begin();
	log_set_fd(text_fd);
	log_set_binary(true, LOG_DEBUG);
	log_info("pid %d", 5);
	log_warn("it %s", "hurts");
	log_error("no %s", "more");
	log_debug("size %zu", sizeof(line));
	log_at(LOG_NONE, "%s", "the end");
	log_set_fd(-1);
	end();
	assert_int_equal(io_read_file(AT_FDCWD, name, &text, NULL), 0);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_int_equal(log_reader_open(fd, path, &r, &err), 0);
	for (p = text; log_reader_next(r, false, &e, &err) > 0; p += strlen(line) + 1) {
		log_entry_line(r, &e, line, sizeof(line));
		assert_memory_equal(p, line, strlen(line));
		assert_int_equal(p[strlen(line)], '\n');
		assert_int_equal(e.pid, getpid());
		assert_int_equal(e.tid, gettid());
		assert_string_equal(e.place->file + strlen(e.place->file) - 10, "test_log.c");
	}
	assert_int_equal(*p, '\0');
}

/* ------------------------------------------------- threads and processes */

#define WRITERS	 4
#define PER_TASK 20000
#define PROCS	 3

static void *chatter(void *arg)
{
	int who = (int)(intptr_t)arg;
	char filler[200];

	for (int i = 0; i < PER_TASK; i++) {
		int n = (i * 7 + who) % (int)sizeof(filler);

		memset(filler, 'a' + who % 26, sizeof(filler));
		log_debug("%d: %d: %d %.*s.", who, i, n, n, filler);
	}
	return NULL;
}

static void chatter_in_threads(int first)
{
	pthread_t threads[WRITERS];

	for (int i = 0; i < WRITERS; i++)
		assert_int_equal(
			pthread_create(&threads[i], NULL, chatter, (void *)(intptr_t)(first + i)),
			0);
	for (int i = 0; i < WRITERS; i++)
		pthread_join(threads[i], NULL);
}

/* Each writer's lines whole and in order, with its pid; nothing else. */
static void check_chatter(const struct lines *lines)
{
	int next[WRITERS * PROCS] = {0};

	for (size_t i = 0; i < lines->len; i++) {
		int who, count, n;
		const char *filler = strrchr(lines->data[i], ' ') + 1;

		/* lint: a test may, of what it wrote itself */
		assert_int_equal(sscanf(lines->data[i], "%d: %d: %d", &who, &count, &n), 3);
		assert_in_range(who, 0, WRITERS * PROCS - 1);
		assert_int_equal(count, next[who]++);
		assert_int_equal(strlen(filler), n + 1);
		assert_int_equal(strspn(filler, (char[]){(char)('a' + who % 26), 0}), n);
	}
	for (int i = 0; i < WRITERS * PROCS; i++)
		assert_int_equal(next[i], PER_TASK);
}

static void test_many_writers(void **state)
{
	struct lines lines;
	pid_t pids[PROCS];

	begin();
	for (int i = 1; i < PROCS; i++) {
		pids[i] = fork();
		if (pids[i] == 0) {
			chatter_in_threads(i * WRITERS);
			_exit(0);
		}
	}
	chatter_in_threads(0);
	for (int i = 1; i < PROCS; i++) {
		int status;

		assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
		assert_int_equal(status, 0);
	}
	end();
	lines = read_all();
	assert_no_losses(&lines);
	assert_int_equal(lines.len, WRITERS * PROCS * PER_TASK);
	check_chatter(&lines);
	free_lines(&lines);
}

static void test_pids(void **state)
{
	auto_log_reader struct log_reader *r = NULL;
	auto_close int fd = -EBADF;
	struct err err = ERR_INIT;
	struct log_entry e;
	pid_t pid;

	begin();
	log_debug("parent");
	pid = fork();
	if (pid == 0) {
		log_debug("child");
		_exit(0);
	}
	waitpid(pid, NULL, 0);
	log_debug("parent");
	end();
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_int_equal(log_reader_open(fd, path, &r, &err), 0);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(log_reader_next(r, false, &e, &err), 1);
		assert_int_equal(e.pid, i == 1 ? pid : getpid());
		assert_int_equal(e.tid, e.pid);
	}
}

/* ----------------------------------------------------------------- damage */

/* A child that is killed while it writes as fast as it can. What it said it wrote is there. */
static void test_killed(void **state)
{
	volatile int *said =
		mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	for (int round = 0; round < 20; round++) {
		struct lines lines;
		pid_t pid;

		*said = 0;
		pid = fork();
		if (pid == 0) {
			begin();
			for (int i = 0;; i++) {
				log_debug("line %d", i);
				*said = i + 1;
			}
		}
		while (*said < 1000 * (round + 1))
			sched_yield();
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		lines = read_all();
		assert_int_equal(lines.losses.damaged, 0);
		assert_in_range(lines.losses.unfinished, 0, 1);
		assert_in_range(lines.len, *said, *said + 1);
		for (size_t i = 0; i < lines.len; i++) {
			char line[32];

			snprintf(line, sizeof(line), "line %zu", i);
			assert_string_equal(lines.data[i], line);
		}
		free_lines(&lines);
	}
	munmap((void *)said, 4096);
}

static char *small_log(size_t *ret_len, size_t *ret_records)
{
	auto_log_reader struct log_reader *r = NULL;
	auto_close int fd = -EBADF;
	struct log_file_head h;
	char *bytes;

	begin();
	for (int i = 0; i < 20; i++)
		log_debug("record %d: %s", i, "some text");
	end();
	assert_int_equal(io_read_file(AT_FDCWD, path, &bytes, ret_len), 0);
	memcpy(&h, bytes, sizeof(h));
	*ret_records = h.records;
	return bytes;
}

static void write_file(const char *bytes, size_t len)
{
	auto_close int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_int_equal(io_write_full(fd, bytes, len), 0);
}

static void test_truncated(void **state)
{
	size_t len, records;
	auto_free char *bytes = small_log(&len, &records);

	for (size_t cut = 0; cut <= len; cut += cut < records - 64 ? 61 : 1) {
		auto_log_reader struct log_reader *r = NULL;
		auto_close int fd = -EBADF;
		struct err err = ERR_INIT;
		struct log_entry e;
		size_t n = 0, one = (len - records) / 20;
		int ret;

		write_file(bytes, cut);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		ret = log_reader_open(fd, path, &r, &err);
		assert_int_equal(ret, cut < records ? -EINVAL : 0);
		if (ret < 0)
			continue;
		while (log_reader_next(r, false, &e, &err) > 0)
			n++;
		assert_int_equal(n, (cut - records) / one);
		assert_int_equal(log_reader_losses(r).damaged, (cut - records) % one);
	}
}

/* One wrong byte costs one line at most, and is told. */
static void test_damaged(void **state)
{
	size_t len, records;
	auto_free char *bytes = small_log(&len, &records);

	for (size_t at = 0; at < len; at++) {
		auto_log_reader struct log_reader *r = NULL;
		auto_close int fd = -EBADF;
		struct err err = ERR_INIT;
		struct log_losses l;
		struct log_entry e;
		size_t n = 0;

		if (at >= LOG_FILE_LIVE && at < LOG_FILE_CMDLINE)
			continue; /* only a hint */
		if (at >= LOG_FILE_CMDLINE && at < records && at % 13)
			continue; /* some of the table will do */
		bytes[at] ^= 0x41;
		write_file(bytes, len);
		bytes[at] ^= 0x41;
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (log_reader_open(fd, path, &r, &err) < 0) {
			assert_true(at < records);
			continue;
		}
		while (log_reader_next(r, false, &e, &err) > 0)
			n++;
		l = log_reader_losses(r);
		assert_true(l.table || l.damaged || l.unfinished || at >= records - 8);
		if (at >= records)
			assert_int_equal(n, 19);
	}
}

/* The place of an older log, but of nothing else. */
static void test_replaces(void **state)
{
	struct err err = ERR_INIT;
	auto_free char *bytes = NULL;
	struct stat before, after;

	begin();
	end();
	assert_int_equal(stat(path, &before), 0);
	assert_int_equal(before.st_mode & 07777, 0600);
	begin();
	end();
	assert_int_equal(stat(path, &after), 0);
	log_binary_remove(path);
	assert_int_equal(access(path, F_OK), -1);
	write_file("precious", 8);
	assert_true(log_binary_open(path, &err) < 0);
	log_binary_remove(path);
	assert_int_equal(io_read_file(AT_FDCWD, path, &bytes, NULL), 0);
	assert_string_equal(bytes, "precious");
	assert_int_equal(unlink(path), 0);
}

/* More than it grows by at once, and than stays mapped; little address space does, too. */
static void test_grows(void **state)
{
	char text[LOG_STR_MAX];
	struct rlimit all;
	struct lines lines;

	getrlimit(RLIMIT_AS, &all);
#ifndef __SANITIZE_ADDRESS__
	setrlimit(RLIMIT_AS, &(struct rlimit){8ull << 30, all.rlim_max});
#endif
	memset(text, 't', sizeof(text));
	begin();
	for (int i = 0; i < 40000; i++)
		log_debug("%d %.*s", i, (int)sizeof(text), text);
	end();
	setrlimit(RLIMIT_AS, &all);
	lines = read_all();
	assert_no_losses(&lines);
	assert_int_equal(lines.len, 40000);
	for (int i = 0; i < 40000; i++)
		assert_int_equal(atoi(lines.data[i]), i);
	free_lines(&lines);
}

static void on_bus_error(int signo, siginfo_t *info, void *context)
{
	if (!log_binary_fault(info->si_addr))
		_exit(1);
}

/* Somebody cuts the file: the log is off, and the program goes on. */
static void test_cut_while_written(void **state)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		struct sigaction sa = {.sa_sigaction = on_bus_error, .sa_flags = SA_SIGINFO};

		sigaction(SIGBUS, &sa, NULL);
		begin();
		log_debug("before");
		if (truncate(path, 0) < 0)
			_exit(2);
		for (int i = 0; i < 100000; i++)
			log_debug("after %d", i);
		end();
		_exit(0);
	}
	waitpid(pid, &status, 0);
	assert_int_equal(status, 0);
	assert_int_equal(unlink(path), 0);
}

static int set_up(void **state)
{
	if (!mkdtemp(tmp))
		return -1;
	snprintf(path, sizeof(path), "%s/log.bin", tmp);
	return 0;
}

static int tear_down(void **state)
{
	char name[80];

	unlink(path);
	snprintf(name, sizeof(name), "%s/text", tmp);
	unlink(name);
	return rmdir(tmp);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_formats),
		cmocka_unit_test(test_long_strings),
		cmocka_unit_test(test_same_lines),
		cmocka_unit_test(test_many_writers),
		cmocka_unit_test(test_pids),
		cmocka_unit_test(test_killed),
		cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_damaged),
		cmocka_unit_test(test_replaces),
		cmocka_unit_test(test_grows),
		cmocka_unit_test(test_cut_while_written),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
