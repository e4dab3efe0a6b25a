/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Crash safety of remote calls: a target that checks itself is frozen, entered, used and left
 * again and again by a process that is killed with SIGKILL at random moments.
 *
 *	remote_crash [-n KILLS] [-s SEED] [-w MAX_US] [-b] [-c] [-f] [-q] [-k] [-t]
 *
 *	-b  the target was forked by a thread, when all of the main stack had been used
 *	-c  the target catches all signals that a batch could end with
 *	-f  the target has a seccomp filter
 *	-k  the other way round: the targets are killed, and the tracer has to notice and end
 *	-t  the target is stopped (SIGSTOP) most of the time, and has to stay so
 *	-q  quiet runs without kills: the tracer ends by itself
 *
 * Exit status 0 if no target was harmed. One target lives through all of it; when it is harmed,
 * a new one takes its place.
 */
#include "base/log.h"
#include "base/parse.h"
#include "busy_target.h"
#include "remote/batch.h"
#include "remote/pass_fd.h"
#include "remote/seize.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Waits on a machine that may be busy with other tests: 20 and 60 s. */
#define STOPPED_TRIES 10000
#define ENDED_TRIES   6000

struct options {
	int kills, max_us, busy_flags;
	unsigned int seed;
	bool quiet, kill_targets, stopped;
};

static void die(const struct err *err)
{
	printf("tracer: %s [%s]\n", err->text, err->hint);
	fflush(stdout);
	_exit(1);
}

#define MUST(expr)                                                                                 \
	do {                                                                                       \
		if ((expr) < 0)                                                                    \
			die(&err);                                                                 \
	} while (0)

static void use_thread(struct target_thread *th)
{
	struct err err = ERR_INIT;
	auto_batch struct batch *b = NULL;
	size_t map, unmap, gettid;

	MUST(remote_enter(th, &err));
	b = batch_new(th);
	map = batch_call(b, SYS_mmap, 0, 8192, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	unmap = batch_call(b, SYS_munmap, 0, 8192);
	batch_arg_ret(b, unmap, 0, map);
	gettid = batch_call(b, SYS_gettid);
	MUST(batch_run(b, &err));
	MUST(batch_expect(b, map, &err));
	MUST(batch_expect(b, unmap, &err));
	if (batch_ret(b, gettid) != th->vtid) {
		printf("tracer: gettid() = %ld instead of %d\n", batch_ret(b, gettid), th->vtid);
		_exit(1);
	}
}

static void use_descriptor(struct target *t)
{
	struct err err = ERR_INIT;
	struct tfd lent;
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (t->has_seccomp)
		return;
	MUST(target_lend_fd(t, null, &lent, &err));
	use_thread(t->threads[t->nthreads - 1]);
	MUST(target_return_fd(t, lent, &err));
	close(null);
}

/* The tracer: everything a dump does to a target, in a small way. */
static void trace(pid_t pid)
{
	struct seize_opts opts = {.timeout_ms = 10000};
	struct target_tree tree;
	struct err err = ERR_INIT;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	MUST(tree_seize(pid, &opts, &tree, &err));
	for (size_t i = 0; i < tree.n; i++) {
		struct target *t = tree.targets[i];

		if (t->state == TARGET_ZOMBIE)
			continue;
		for (size_t j = 0; j < t->nthreads; j++)
			use_thread(t->threads[j]);
		use_descriptor(t);
	}
	MUST(tree_release(&tree, TREE_RUN, &err));
	_exit(0);
}

static void sleep_us(long us)
{
	struct timespec ts = {us / 1000000, us % 1000000 * 1000};

	while (nanosleep(&ts, &ts) < 0)
		;
}

/* 1 killed, 0 it was faster, -1 it failed. */
static int trace_and_kill(pid_t target, const struct options *o)
{
	int status;
	pid_t pid = fork();

	if (pid == 0)
		trace(target);
	if (!o->quiet) {
		sleep_us(rand() % o->max_us);
		kill(pid, SIGKILL);
	}
	if (waitpid(pid, &status, 0) != pid)
		return -1;
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
		return 1;
	return status == 0 ? 0 : -1;
}

static void count_lines(pid_t pid, const char *what, const char *file)
{
	char path[64], buf[4096];
	size_t n, lines = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, file);
	f = fopen(path, "r");
	while (f && (n = fread(buf, 1, sizeof(buf), f)) > 0)
		for (size_t i = 0; i < n; i++)
			lines += buf[i] == '\n';
	if (f)
		fclose(f);
	printf("%s: %zu\n", what, lines);
}

static bool is_alive(pid_t pid)
{
	int status;

	if (waitpid(pid, &status, WNOHANG) == 0)
		return true;
	printf("target died with status %#x\n", status);
	return false;
}

/* Have all workers gone on, without failures? On a busy machine that may take a while. */
static bool is_harmed(const struct busy *busy)
{
	unsigned long last[BUSY_WORKERS_MAX];

	busy_rounds(busy, last);
	for (int i = 0; i < 600; i++) {
		sleep_us(50000);
		if (!busy_stuck(busy, last))
			return busy_check(busy, NULL) != 0;
	}
	return busy_check(busy, last) != 0;
}

/* All threads of a stopped process are in state T; a moment after its tracer's death at the latest.
 */
static bool is_stopped(pid_t pid)
{
	for (int i = 0; i < STOPPED_TRIES; i++) {
		char path[64], c = 0;
		FILE *f;

		snprintf(path, sizeof(path), "/proc/%d/stat", pid);
		f = fopen(path, "r");
		if (f && fscanf(f, "%*d (%*[^)]) %c", &c) != 1)
			c = 0;
		if (f)
			fclose(f);
		if (c == 'T')
			return true;
		sleep_us(2000);
		if (i == STOPPED_TRIES - 1)
			printf("state %c\n", c);
	}
	return false;
}

/* Kills o->kills tracers, or as many as it takes to harm the target. */
static int kill_tracers(const struct options *o, pid_t target, const struct busy *busy)
{
	int killed = 0, harmed = 0, failed = 0, complete = 0;

	for (int i = 0; i < o->kills; i++) {
		int r;

		if (o->stopped)
			kill(target, SIGSTOP);
		r = trace_and_kill(target, o);
		if (o->stopped && !is_stopped(target))
			return printf("runs though it was stopped, after %d\n", i), 1;
		if (o->stopped && i % 5 == 4)
			kill(target, SIGCONT);

		killed += r == 1;
		complete += r == 0;
		failed += r < 0;
		if (i % 50 == 49 && kill(target, SIGCONT) == 0)
			harmed += is_harmed(busy);
		if (harmed || !is_alive(target))
			return printf("harmed after %d\n", i), 1;
	}
	harmed += is_harmed(busy);
	printf("%d killed, %d complete, %d failed, %d harmed\n", killed, complete, failed, harmed);
	return harmed || failed;
}

static int run(const struct options *o)
{
	struct busy *busy;
	pid_t target = busy_start(o->busy_flags, &busy);
	int bad;

	sleep_us(50000);
	count_lines(target, "mappings before", "maps");
	bad = kill_tracers(o, target, busy);
	count_lines(target, "mappings after", "maps");
	kill(target, SIGKILL);
	waitpid(target, NULL, 0);
	return bad;
}

/* 0 if the tracer has ended by itself. */
static int kill_one_target(const struct options *o)
{
	struct busy *busy;
	pid_t target = busy_start(o->busy_flags, &busy), tracer;
	int status = 0, i;

	sleep_us(3000);
	tracer = fork();
	if (tracer == 0)
		trace(target);
	sleep_us(rand() % o->max_us);
	kill(target, SIGKILL);
	for (i = 0; i < ENDED_TRIES && waitpid(tracer, &status, WNOHANG) == 0; i++)
		sleep_us(10000);
	if (i == ENDED_TRIES) {
		printf("tracer %d hangs\n", tracer);
		kill(tracer, SIGKILL);
		waitpid(tracer, &status, 0);
	} else if (!WIFEXITED(status)) {
		printf("tracer died with status %#x\n", status);
	}
	waitpid(target, NULL, 0);
	munmap(busy, sizeof(*busy));
	return i == ENDED_TRIES || !WIFEXITED(status);
}

static int run_kill_targets(const struct options *o)
{
	int bad = 0;

	for (int i = 0; i < o->kills; i++)
		bad += kill_one_target(o);
	printf("%d targets killed, %d tracers in trouble\n", o->kills, bad);
	return bad != 0;
}

int main(int argc, char **argv)
{
	struct options o = {.kills = 1000, .max_us = 12000, .seed = (unsigned int)time(NULL)};
	int c, value = 0;

	while ((c = getopt(argc, argv, "n:s:w:bcfqktv")) != -1) {
		if (strchr("nsw", c) && parse_int(optarg, &value) < 0)
			return 2;
		if (c == 'n')
			o.kills = value;
		else if (c == 's')
			o.seed = (unsigned int)value;
		else if (c == 'w')
			o.max_us = value;
		else if (c == 'b')
			o.busy_flags |= BUSY_THREAD_CHILD;
		else if (c == 'c')
			o.busy_flags |= BUSY_CATCH_ALL;
		else if (c == 'f')
			o.busy_flags |= BUSY_FILTER;
		else if (c == 'k')
			o.kill_targets = true;
		else if (c == 't')
			o.stopped = true;
		else if (c == 'q')
			o.quiet = true;
		else if (c == 'v')
			log_init(LOG_DEBUG);
		else
			return 2;
	}
	if (!o.quiet || o.stopped)
		o.busy_flags |= BUSY_ALLOW_EINTR;
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("seed %u\n", o.seed);
	srand(o.seed);
	return o.kill_targets ? run_kill_targets(&o) : run(&o);
}
