/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What runs in the virtual machine of tests/vm/run: its init. Tries torpor on a kernel that isn't
 * the one of this machine, and prints "VM ok|FAIL NAME[: WHY]" lines, in the end "VM done".
 *
 * The programs that are dumped are copies of this one: `guest victim` writes to random pages of its
 * memory, keeps account in other memory, and compares the two when it gets SIGUSR1.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE	4096u
#define PAGES	2048u /* 8 MiB: the machine is emulated */
#define VERDICT "/tmp/verdict"
#define READY	"/tmp/ready"
#define WAIT_MS 60000

/* ----------------------------------------------------------------- victim */

static volatile sig_atomic_t asked;

static void on_signal(int signo)
{
	asked = 1;
}

static uint64_t content(size_t page, uint32_t generation)
{
	return (page + 1) * UINT64_C(0x9e3779b97f4a7c15) ^
	       generation * UINT64_C(0xc2b2ae3d27d4eb4f);
}

static void fill_page(uint64_t *p, size_t page, uint32_t generation)
{
	for (size_t i = 0; i < PAGE / 8; i++)
		p[i] = generation ? content(page, generation) + i : 0;
}

static bool page_is_right(const uint64_t *p, size_t page, uint32_t generation)
{
	for (size_t i = 0; i < PAGE / 8; i++)
		if (p[i] != (generation ? content(page, generation) + i : 0))
			return false;
	return true;
}

static void write_file(const char *path, const char *text)
{
	char tmp[64];
	int fd;

	snprintf(tmp, sizeof(tmp), "%s.new", path);
	fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, text, strlen(text)) < 0 || close(fd) < 0 || rename(tmp, path) < 0)
		_exit(9);
}

static void check(char *memory, const uint32_t *generations)
{
	char text[64] = "right";

	for (size_t i = 0; i < PAGES; i++)
		if (!page_is_right((uint64_t *)(memory + i * PAGE), i, generations[i])) {
			snprintf(text, sizeof(text), "page %zu is wrong", i);
			break;
		}
	write_file(VERDICT, text);
}

static char *map(size_t size)
{
	char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		_exit(8);
	return p;
}

/* Pages vanish, move, and are protected meanwhile. */
static void shuffle(char *memory, uint32_t *generations, size_t page)
{
	char *p = memory + page * PAGE, *away;

	switch (generations[page] % 4) {
	case 0:
		madvise(p, PAGE, MADV_DONTNEED);
		generations[page] = 0;
		break;
	case 1:
		mprotect(p, PAGE, PROT_NONE);
		mprotect(p, PAGE, PROT_READ | PROT_WRITE);
		break;
	case 2: /* there and back */
		away = mremap(p, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, map(PAGE));
		if (away == MAP_FAILED ||
		    mremap(away, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, p) != p)
			_exit(7);
		break;
	default:
		if (mmap(p, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
			 -1, 0) != p)
			_exit(7);
		generations[page] = 0;
	}
}

static void be_victim(void)
{
	const struct sigaction on = {.sa_handler = on_signal};
	char *memory = map(PAGES * PAGE);
	size_t churn = PAGES / 8;
	uint32_t *generations = calloc(PAGES, sizeof(*generations));

	/*
	 * Most pages stay as they are, so that there is something to leave to a parent. They are in
	 * another mapping: soft-dirty marks the whole of one that has been mapped to.
	 */
	mprotect(memory + churn * PAGE, PAGE, PROT_READ);
	setsid();
	sigaction(SIGUSR1, &on, NULL);
	for (size_t i = 0; i < PAGES; i++)
		if (i != churn)
			fill_page((uint64_t *)(memory + i * PAGE), i, generations[i] = 1);
	write_file(READY, "");
	for (;;) {
		size_t page = (size_t)random() % churn;

		if (random() % 8 == 0)
			shuffle(memory, generations, page);
		else
			fill_page((uint64_t *)(memory + page * PAGE), page, ++generations[page]);
		if (asked) {
			asked = 0;
			check(memory, generations);
		}
		usleep(500);
	}
}

/* ----------------------------------------------------------------- runner */

static void say(bool ok, const char *name, const char *fmt, ...)
{
	va_list ap;

	printf("VM %s %s", ok ? "ok" : "FAIL", name);
	va_start(ap, fmt);
	if (fmt) {
		printf(": ");
		vprintf(fmt, ap);
	}
	va_end(ap);
	printf("\n");
	fflush(stdout);
}

/* Words up to NULL. Its output goes to `out`, or to the console. The exit status. */
static int run(const char *out, const char *const words[])
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		int fd = out ? open(out, O_WRONLY | O_CREAT | O_TRUNC, 0600) : -1;

		if (fd >= 0) {
			dup2(fd, 1);
			dup2(fd, 2);
			close(fd);
		}
		execv(words[0], (char *const *)words);
		_exit(127);
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static bool file_has(const char *path, const char *text)
{
	static char buf[1 << 16];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, buf, sizeof(buf) - 1);

	if (fd >= 0)
		close(fd);
	if (n < 0)
		return false;
	buf[n] = '\0';
	return strstr(buf, text);
}

static void print_file(const char *path)
{
	char buf[4096];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	while (fd >= 0 && (n = read(fd, buf, sizeof(buf))) > 0)
		fwrite(buf, 1, (size_t)n, stdout);
	if (fd >= 0)
		close(fd);
	printf("\n");
}

static bool wait_for_file(const char *path)
{
	for (int i = 0; i < WAIT_MS / 10; i++) {
		if (access(path, F_OK) == 0)
			return true;
		usleep(10000);
	}
	return false;
}

static pid_t victim(void)
{
	pid_t pid;

	unlink(READY);
	pid = fork();
	if (pid == 0) {
		int fd = open("/dev/null", O_RDWR);

		dup2(fd, 0);
		dup2(fd, 1);
		dup2(fd, 2);
		close(fd);
		execl("/guest", "guest", "victim", NULL);
		_exit(127);
	}
	wait_for_file(READY);
	return pid;
}

/* Did it keep its memory? */
static bool is_right(const char *name, pid_t pid)
{
	unlink(VERDICT);
	kill(pid, SIGUSR1);
	if (!wait_for_file(VERDICT)) {
		say(false, name, "pid %d doesn't answer", pid);
		return false;
	}
	if (!file_has(VERDICT, "right")) {
		say(false, name, "the program's memory:");
		print_file(VERDICT);
		return false;
	}
	return true;
}

/* torpor VERB -D DIR -o log WORDS...; with -t PID if there is one. */
static bool torpor(const char *name, const char *verb, const char *dir, pid_t pid,
		   const char *words)
{
	char number[16], log[128], copy[256];
	const char *argv[24] = {"/torpor", verb, "-D", dir, "-v4", "-o", "log"};
	int n = 7, status;

	mkdir(dir, 0700);
	if (pid) {
		snprintf(number, sizeof(number), "%d", pid);
		argv[n++] = "-t";
		argv[n++] = number;
	}
	snprintf(copy, sizeof(copy), "%s", words);
	for (char *w = copy; *w && n < 23;) {
		argv[n++] = w;
		w += strcspn(w, " ");
		if (*w)
			*w++ = '\0';
	}
	status = run("/tmp/out", argv);
	if (status == 0)
		return true;
	say(false, name, "torpor %s %s: exit status %d", verb, words, status);
	print_file("/tmp/out");
	snprintf(log, sizeof(log), "%s/log", dir);
	print_file(log);
	return false;
}

static void reap(pid_t pid, bool alive)
{
	if (alive)
		kill(pid, SIGKILL);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}

static long pages_size(const char *dir)
{
	char path[64];
	struct stat st;

	snprintf(path, sizeof(path), "%s/pages-1.img", dir);
	return stat(path, &st) < 0 ? -1 : (long)st.st_blocks * 512;
}

/* ------------------------------------------------------------------ tests */

static void test_check(const char *tracker)
{
	char line[64];
	int status = run("/tmp/out", (const char *[]){"/torpor", "check", NULL});

	snprintf(line, sizeof(line), "are tracked by: %s", tracker);
	say(status == 0 && file_has("/tmp/out", line), "check", NULL);
	print_file("/tmp/out");
	status = run("/tmp/out",
		     (const char *[]){"/torpor", "check", "--feature", "mem_dirty_track", NULL});
	say(status == 0 || !strcmp(tracker, "none"), "check_feature", NULL);
}

/* Build ids are found without PROCMAP_QUERY, and a file that has changed is told by them. */
static void test_looks(const char *dir)
{
	char path[64];
	bool ids;

	say(run("/tmp/out", (const char *[]){"/torpor", "image", "check", dir, NULL}) == 0,
	    "image_check", NULL);
	print_file("/tmp/out");
	snprintf(path, sizeof(path), "%s/files.img", dir);
	ids = run("/tmp/out", (const char *[]){"/torpor", "image", "show", path, NULL}) == 0 &&
	      file_has("/tmp/out", "\"build_id\"") && file_has("/tmp/out", "\"/guest\"");
	say(ids, "build_ids", NULL);
	if (!ids)
		print_file("/tmp/out");
	snprintf(path, sizeof(path), "%s/log", dir);
	say(run("/tmp/out", (const char *[]){"/torpor", "log", path, NULL}) == 0 &&
		    file_has("/tmp/out", "Run id: "),
	    "binary_log", NULL);
}

static void test_plain(void)
{
	const char *name = "plain";
	pid_t pid = victim();

	if (!torpor(name, "dump", "/tmp/plain", pid, ""))
		return reap(pid, true);
	reap(pid, false);
	test_looks("/tmp/plain");
	if (torpor(name, "restore", "/tmp/plain", 0, "-d") && is_right(name, pid))
		say(true, name, NULL);
	reap(pid, true);
}

static void test_leave_running(void)
{
	const char *name = "leave_running";
	pid_t pid = victim();

	if (!torpor(name, "dump", "/tmp/running", pid, "--leave-running") || !is_right(name, pid))
		return reap(pid, true);
	reap(pid, true);
	if (torpor(name, "restore", "/tmp/running", 0, "-d") && is_right(name, pid))
		say(true, name, NULL);
	reap(pid, true);
}

static void test_chain(const char *tracker)
{
	const char *name = "chain";
	pid_t pid = victim();
	char words[128];
	long full, last;

	snprintf(words, sizeof(words), "--track-mem --tracker %s", tracker);
	if (!torpor(name, "pre-dump", "/tmp/chain1", pid, words))
		return reap(pid, true);
	usleep(200000);
	snprintf(words, sizeof(words), "--track-mem --prev-images-dir ../chain1 --tracker %s",
		 tracker);
	if (!torpor(name, "pre-dump", "/tmp/chain2", pid, words))
		return reap(pid, true);
	usleep(200000);
	snprintf(words, sizeof(words), "--track-mem --prev-images-dir ../chain2 --tracker %s",
		 tracker);
	if (!is_right(name, pid) || !torpor(name, "dump", "/tmp/chain3", pid, words))
		return reap(pid, true);
	reap(pid, false);
	full = pages_size("/tmp/chain1");
	last = pages_size("/tmp/chain3");
	if (torpor(name, "restore", "/tmp/chain3", 0, "-d") && is_right(name, pid))
		say(last > 0 && last < full / 2, name, "%ld bytes, then %ld", full, last);
	reap(pid, true);
}

/* What can't be done here is said, and the program isn't harmed. */
static void test_forced(const char *tracker)
{
	const char *name = "forced_tracker", *other = "uffd-wp";
	pid_t pid = victim();
	char number[16];
	int status;

	if (!strcmp(tracker, other))
		other = "soft-dirty";
	snprintf(number, sizeof(number), "%d", pid);
	mkdir("/tmp/forced", 0700);
	status = run("/tmp/out", (const char *[]){"/torpor", "pre-dump", "-D", "/tmp/forced", "-t",
						  number, "--track-mem", "--tracker", other, NULL});
	if (is_right(name, pid))
		say(status == 1 && file_has("/tmp/out", other), name, "exit status %d", status);
	print_file("/tmp/out");
	reap(pid, true);
}

static void test_units(void)
{
	static const char *const units[] = {"/test_pagescan", "/test_track", "/test_track_live",
					    "/test_keeper", "/test_agent"};

	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		int status = run("/tmp/out", (const char *[]){units[i], NULL});

		say(status == 0, units[i] + 1, NULL);
		if (status)
			print_file("/tmp/out");
	}
}

static void prepare(void)
{
	mkdir("/proc", 0755);
	mkdir("/sys", 0755);
	mkdir("/dev", 0755);
	mkdir("/tmp", 01777);
	mkdir("/run", 0755);
	if (mount("proc", "/proc", "proc", 0, NULL) || mount("sys", "/sys", "sysfs", 0, NULL) ||
	    mount("dev", "/dev", "devtmpfs", 0, NULL) || mount("tmp", "/tmp", "tmpfs", 0, NULL))
		say(false, "prepare", "mount: %s", strerror(errno));
	mkdir("/dev/shm", 01777);
	mount("shm", "/dev/shm", "tmpfs", 0, NULL);
}

/* guest victim; as init: the kernel hands it "tracker=NAME" of the command line as a variable */
int main(int argc, char **argv)
{
	const char *tracker = getenv("tracker");

	if (argc > 1 && !strcmp(argv[1], "victim"))
		be_victim();
	prepare();
	if (!tracker)
		tracker = "none";
	test_check(tracker);
	test_units();
	test_plain();
	test_leave_running();
	if (strcmp(tracker, "none") != 0)
		test_chain(tracker);
	test_forced(tracker);
	printf("VM done\n");
	fflush(stdout);
	sync();
	reboot(RB_AUTOBOOT);
	return 0;
}
