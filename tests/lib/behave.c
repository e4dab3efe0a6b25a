/* SPDX-License-Identifier: Apache-2.0 */
/* The frame of behaviour tests, see behave.h. What the runner passes in is in the environment. */
#include "behave.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { SKIPPED = 77 };

/* Kept from the start: a test may change its directory, or overwrite its environment. */
static char dir[PATH_MAX], ready_file[PATH_MAX + 16], go_file[PATH_MAX + 16];
static char children_file[PATH_MAX + 32];
static unsigned int mode, flavour;
static volatile int failures;

/* ----------------------------------------------------------------- names */

struct bit_name {
	unsigned int bit;
	const char *name;
};

static const struct bit_name flavour_names[] = {
	{HOST, "host"}, {NS, "ns"}, {USERNS, "userns"}, {0}};
static const struct bit_name mode_names[] = {{PLAIN, "plain"},
					     {REPEAT, "repeat"},
					     {LEAVE_RUNNING, "leave-running"},
					     {SELF, "none"},
					     {0}};

static unsigned int bit_of(const struct bit_name *names, const char *name)
{
	while (names->bit && strcmp(names->name, name))
		names++;
	return names->bit;
}

static void print_bits(const char *key, const struct bit_name *names, unsigned int set)
{
	const char *comma = "";

	printf(", \"%s\": [", key);
	for (; names->bit; names++) {
		if (!(set & names->bit))
			continue;
		printf("%s\"%s\"", comma, names->name);
		comma = ", ";
	}
	putchar(']');
}

static void print_string(const char *key, const char *value)
{
	printf("%s\"%s\": ", strcmp(key, "about") ? ", " : "", key);
	if (!value) {
		fputs("null", stdout);
		return;
	}
	putchar('"');
	for (; *value; value++) {
		if (*value == '"' || *value == '\\')
			putchar('\\');
		putchar(*value);
	}
	putchar('"');
}

/* One line of JSON. */
static void describe(void)
{
	const struct behave_test *t = &behave_test;

	putchar('{');
	print_string("about", t->about);
	print_bits("flavours", flavour_names, t->flavours ? t->flavours : HOST | NS | USERNS);
	print_bits("modes", mode_names, t->modes ? t->modes : PLAIN | REPEAT | LEAVE_RUNNING);
	print_string("not_in_userns", t->not_in_userns);
	print_string("dump_options", t->dump_options);
	print_string("restore_options", t->restore_options);
	print_string("refused", t->refused);
	print_string("changes", t->changes);
	printf(", \"go_signal\": %d, \"limit\": %u, \"huge_pages\": %u}\n", t->go_signal, t->limit,
	       t->huge_pages);
}

/* ------------------------------------------------------- ready, set, go */

void behave_ready(void)
{
	int fd = SYS(open(ready_file, O_WRONLY | O_CREAT | O_CLOEXEC, 0666));

	SYS(close(fd));
}

bool behave_go(void)
{
	int saved_errno = errno;
	bool go = access(go_file, F_OK) == 0;

	errno = saved_errno;
	return go;
}

void behave_await_go(void)
{
	while (!behave_go())
		behave_nap(2);
}

unsigned int behave_mode(void)
{
	return mode;
}

unsigned int behave_flavour(void)
{
	return flavour;
}

/* ------------------------------------------------------------- verdicts */

/* One write: lines of several processes don't mix in a log that is appended to. */
static void __attribute__((format(printf, 4, 0)))
say(const char *word, const char *file, int line, const char *fmt, va_list ap)
{
	const char *base = file ? strrchr(file, '/') : NULL;
	char text[1024];
	int n;

	n = snprintf(text, sizeof(text) - 1, "%s", word);
	if (file)
		n += snprintf(text + n, sizeof(text) - 1 - (size_t)n, " %s:%d",
			      base ? base + 1 : file, line);
	text[n++] = ' ';
	n += vsnprintf(text + n, sizeof(text) - 1 - (size_t)n, fmt, ap);
	if (n > (int)sizeof(text) - 2)
		n = (int)sizeof(text) - 2;
	text[n++] = '\n';
	if (write(STDERR_FILENO, text, (size_t)n) != n)
		failures++;
}

void behave_fail(const char *file, int line, const char *fmt, ...)
{
	int saved_errno = errno;
	va_list ap;

	failures++;
	va_start(ap, fmt);
	say("FAIL", file, line, fmt, ap);
	va_end(ap);
	errno = saved_errno;
}

void behave_die(const char *file, int line, const char *what)
{
	behave_fail(file, line, "%s: %s", what, strerror(errno));
	_exit(1);
}

void behave_skip(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say("SKIP", NULL, 0, fmt, ap);
	va_end(ap);
	_exit(SKIPPED);
}

void behave_finish(void)
{
	if (!behave_go())
		behave_fail(__FILE__, __LINE__, "the test ended before it was told to go on");
	if (!failures)
		dprintf(STDERR_FILENO, "PASS\n");
	_exit(behave_status());
}

int behave_status(void)
{
	return failures ? 1 : 0;
}

void behave_check_str(const char *file, int line, const char *what, const char *got,
		      const char *want)
{
	if (strcmp(got, want))
		behave_fail(file, line, "%s is \"%s\", not \"%s\"", what, got, want);
}

void behave_check_mem(const char *file, int line, const char *what, const void *got,
		      const void *want, size_t len)
{
	const unsigned char *g = got, *w = want;

	for (size_t i = 0; i < len; i++) {
		if (g[i] == w[i])
			continue;
		behave_fail(file, line, "%s: byte %zu of %zu is 0x%02x, not 0x%02x", what, i, len,
			    g[i], w[i]);
		return;
	}
}

/* ----------------------------------------------------- several processes */

pid_t behave_fork(void (*body)(void *), void *arg)
{
	pid_t pid = SYS(fork());

	if (pid == 0) {
		failures = 0;
		body(arg);
		_exit(behave_status());
	}
	return pid;
}

/* A byte per child; O_APPEND makes the additions atomic. */
void behave_child_ready(void)
{
	int fd = SYS(open(children_file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666));

	MUST(write(fd, ".", 1) == 1);
	SYS(close(fd));
}

void behave_await_children(unsigned int n)
{
	struct stat st;

	while (stat(children_file, &st) < 0 || st.st_size < (off_t)n)
		behave_nap(1);
}

void behave_join(pid_t pid)
{
	int status = 0;
	pid_t got;

	do {
		got = waitpid(pid, &status, 0);
	} while (got < 0 && errno == EINTR);
	CHECK(got == pid, "waitpid %d: %s", pid, strerror(errno));
	CHECK(got != pid || status == 0, "child %d ended with status 0x%x", pid, status);
}

pthread_t behave_thread(void *(*body)(void *), void *arg)
{
	pthread_t thread;

	errno = pthread_create(&thread, NULL, body, arg);
	MUST(errno == 0);
	return thread;
}

/* ---------------------------------------------------------------- tools */

void behave_nap(unsigned int ms)
{
	struct timespec left = {.tv_sec = ms / 1000, .tv_nsec = (ms % 1000) * 1000000L};

	while (clock_nanosleep(CLOCK_MONOTONIC, 0, &left, &left) == EINTR)
		;
}

uint64_t behave_now(void)
{
	struct timespec now;

	SYS(clock_gettime(CLOCK_MONOTONIC, &now));
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

const char *behave_dir(void)
{
	return dir;
}

/* Files of /proc have no size: reads until the end. */
char *behave_read(const char *path)
{
	int fd = SYS(open(path, O_RDONLY | O_CLOEXEC));
	size_t len = 0, size = 4096;
	char *text = NULL;
	ssize_t n;

	do {
		size *= 2;
		text = realloc(text, size);
		MUST(text);
		while ((n = read(fd, text + len, size - len - 1)) > 0)
			len += (size_t)n;
	} while (len == size - 1);
	MUST(n == 0);
	SYS(close(fd));
	text[len] = '\0';
	return text;
}

const char *behave_proc_status(const char *who, const char *field)
{
	static __thread char value[256];
	size_t len = strlen(field);
	char path[64];
	char *text;

	snprintf(path, sizeof(path), "/proc/%s/status", who);
	text = behave_read(path);
	value[0] = '\0';
	for (const char *line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, field, len) || line[len] != ':')
			continue;
		line += len + 1;
		line += strspn(line, " \t");
		snprintf(value, sizeof(value), "%.*s", (int)strcspn(line, "\n"), line);
		break;
	}
	free(text);
	len = strlen(value);
	while (len && (value[len - 1] == ' ' || value[len - 1] == '\t'))
		value[--len] = '\0';
	return value;
}

long long behave_proc_stat(const char *who, int n)
{
	char path[64];
	char *text, *at;
	long long value;

	snprintf(path, sizeof(path), "/proc/%s/stat", who);
	text = behave_read(path);
	at = strrchr(text, ')'); /* the name in front may hold anything */
	MUST(at);
	for (at++; n > 3; n--)
		at = strchr(at + 1, ' ');
	value = at[1] >= 'A' ? at[1] : strtoll(at, NULL, 10);
	free(text);
	return value;
}

/* ------------------------------------------------------------------ main */

static const char *from_env(const char *name, const char *otherwise)
{
	const char *value = getenv(name);

	return value ? value : otherwise;
}

int main(int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "--describe")) {
		describe();
		return 0;
	}
	MUST(getcwd(dir, sizeof(dir)));
	snprintf(ready_file, sizeof(ready_file), "%s", from_env("BEHAVE_READY", "../ready"));
	snprintf(go_file, sizeof(go_file), "%s", from_env("BEHAVE_GO", "../go"));
	snprintf(children_file, sizeof(children_file), "%s.children", ready_file);
	mode = bit_of(mode_names, from_env("BEHAVE_MODE", "none"));
	flavour = bit_of(flavour_names, from_env("BEHAVE_FLAVOUR", "host"));
	/* Children may change their ids and yet say that they are ready. */
	umask(0);
	behave_test.body();
	behave_finish();
}
