/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The frame of a behaviour test: tests/behaviour/<area>/<name>.c, one program that sets up real
 * state, is frozen and woken by tests/run, and then checks itself.
 *
 *	#include "behave.h"
 *
 *	BEHAVE("the file mode creation mask", .modes = PLAIN | REPEAT)
 *	{
 *		umask(0123);
 *		FREEZE();				// dumped and restored in here
 *		CHECK_EQ(umask(0), 0123);
 *	}
 *
 * The program runs in an empty directory of its own, as the leader of a session, with /dev/null
 * and a log file (O_APPEND) as stdio. Nothing that must be carried over is needed to talk to the
 * runner: it learns of readiness by a file, and says "go" by a file that is polled, with short
 * sleeps. A test that must not sleep asks for a signal too (.go_signal), and says that it is ready
 * with behave_ready() alone, before it blocks.
 *
 * Verdict: exit status 0 and no line FAIL in the log (also from children); 77 is a skip.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Where a test runs. All: as it is on the machine; in namespaces of its own; in a user namespace.
 */
enum { HOST = 1, NS = 2, USERNS = 4 };
/*
 * How it is frozen: dumped, gone, restored; the same several times over; dumped and left running.
 * SELF is no mode of torpor: the program must pass without any dump (tests/run --mode none).
 */
enum { PLAIN = 1, REPEAT = 2, LEAVE_RUNNING = 4, SELF = 8 };

struct behave_test {
	const char *about;	     /* what is tested, for --list */
	unsigned int flavours;	     /* 0: all */
	unsigned int modes;	     /* 0: all */
	const char *not_in_userns;   /* the reason to skip that flavour */
	const char *dump_options;    /* more words for torpor's command lines */
	const char *restore_options; /* separated by blanks */
	const char *refused;	     /* the dump must fail, with this in its error; we go on */
	/*
	 * What the runner must not compare before and after, because it changes while the test
	 * waits: names of tests/lib/snapshot.py ("maps fds signals ..."), or "all".
	 */
	const char *changes;
	int go_signal;	    /* sent to the program after the dump(s), when it is time to check */
	unsigned int limit; /* seconds for each step; 0: the runner's */
	/* So many huge pages (2 MiB) are reserved while the test runs, if they can be had. */
	unsigned int huge_pages;
	void (*body)(void);
};
extern const struct behave_test behave_test;

#define BEHAVE(text, ...)                                                                          \
	static void behave_body(void);                                                             \
	const struct behave_test behave_test = {                                                   \
		.about = (text), .body = behave_body, ##__VA_ARGS__};                              \
	static void behave_body(void)

/* ------------------------------------------------------- ready, set, go */

/* Tells the runner that everything is set up: from now on the program may be frozen. */
void behave_ready(void);
/* Has the runner said go? */
bool behave_go(void);
/* Waits for it, polling. In any process or thread of the test. */
void behave_await_go(void);
/* All of it: the line at which a test is frozen. */
#define FREEZE()                                                                                   \
	do {                                                                                       \
		behave_ready();                                                                    \
		behave_await_go();                                                                 \
	} while (0)

/* How this run is done; one bit of the flavours or modes above. */
unsigned int behave_mode(void);
unsigned int behave_flavour(void);

/* ------------------------------------------------------------- verdicts */

void behave_fail(const char *file, int line, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* Prints the reason and ends the whole test, if called in its first process. */
void behave_skip(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));
void behave_die(const char *file, int line, const char *what) __attribute__((noreturn));
/* Ends the test as returning from its body does; for one that has to do it elsewhere. */
void behave_finish(void) __attribute__((noreturn));
int behave_status(void); /* 0, or 1 if a check failed in this process */

/* A claim about what came back; the test goes on if it doesn't hold. */
#define CHECK(claim, ...)                                                                          \
	do {                                                                                       \
		if (!(claim))                                                                      \
			behave_fail(__FILE__, __LINE__, __VA_ARGS__);                              \
	} while (0)
/* Integers of any kind; `got` first. */
#define CHECK_EQ(got, want)                                                                        \
	do {                                                                                       \
		long long got_ = (long long)(got), want_ = (long long)(want);                      \
		if (got_ != want_)                                                                 \
			behave_fail(__FILE__, __LINE__, "%s is %lld (0x%llx), not %lld (0x%llx)",  \
				    #got, got_, got_, want_, want_);                               \
	} while (0)
#define CHECK_STR(got, want)	  behave_check_str(__FILE__, __LINE__, #got, got, want)
#define CHECK_MEM(got, want, len) behave_check_mem(__FILE__, __LINE__, #got, got, want, len)
void behave_check_str(const char *file, int line, const char *what, const char *got,
		      const char *want);
void behave_check_mem(const char *file, int line, const char *what, const void *got,
		      const void *want, size_t len);

/* Something that must work for there to be a test at all; ends the process if it doesn't. */
#define MUST(claim)                                                                                \
	do {                                                                                       \
		if (!(claim))                                                                      \
			behave_die(__FILE__, __LINE__, #claim);                                    \
	} while (0)
/* The value of a call that must not return a negative one. */
#define SYS(call)                                                                                  \
	({                                                                                         \
		__auto_type sys_ = (call);                                                         \
		MUST(sys_ >= 0);                                                                   \
		sys_;                                                                              \
	})

/* ----------------------------------------------------- several processes */

/*
 * A child that runs body(arg) and ends with the status of its checks. It says that it is set up
 * with behave_child_ready() (by a file, too); the parent waits for that of n children.
 */
pid_t behave_fork(void (*body)(void *), void *arg);
void behave_child_ready(void);
void behave_await_children(unsigned int n);
/* Reaps it; its checks must have passed. */
void behave_join(pid_t pid);

/* A thread that must come to life. */
#include <pthread.h>
pthread_t behave_thread(void *(*body)(void *), void *arg);

/* ---------------------------------------------------------------- tools */

void behave_nap(unsigned int ms);
uint64_t behave_now(void);	     /* CLOCK_MONOTONIC in ns */
const char *behave_dir(void);	     /* where the program was started: absolute */
char *behave_read(const char *path); /* a whole file, terminated; never freed */
/* The value of "field:" in /proc/PATH/status, without blanks around; "" if there is none. */
const char *behave_proc_status(const char *who, const char *field);
/* Field n (as counted by proc(5), from 3 on) of /proc/WHO/stat. */
long long behave_proc_stat(const char *who, int n);
