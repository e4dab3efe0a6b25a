/* SPDX-License-Identifier: Apache-2.0 */
/* Nice values and the policies BATCH and IDLE, of processes and of single threads. */
#include "behave.h"

#include <errno.h>
#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

static const struct {
	int policy, nice;
} settings[] = {{SCHED_OTHER, 0}, {SCHED_OTHER, 7}, {SCHED_OTHER, 19},
		{SCHED_BATCH, 3}, {SCHED_IDLE, 0},  {SCHED_OTHER | SCHED_RESET_ON_FORK, 5}};
enum { SETTINGS = sizeof(settings) / sizeof(settings[0]) };

static _Atomic int set_up;

/* Of the calling thread: that is what 0 means to all of these calls. */
static void set(int i)
{
	SYS(sched_setscheduler(0, settings[i].policy, &(struct sched_param){0}));
	SYS(setpriority(PRIO_PROCESS, 0, settings[i].nice));
}

static void check(int i)
{
	errno = 0;
	CHECK_EQ(getpriority(PRIO_PROCESS, 0), settings[i].nice);
	CHECK_EQ(sched_getscheduler(0), settings[i].policy);
}

static void *thread(void *arg)
{
	int i = (int)(intptr_t)arg;

	set(i);
	set_up++;
	behave_await_go();
	check(i);
	return NULL;
}

static void process(void *arg)
{
	int i = (int)(intptr_t)arg;
	pthread_t other = behave_thread(thread, (void *)(intptr_t)((i + 1) % SETTINGS));

	while (!set_up)
		behave_nap(1);
	set(i);
	behave_child_ready();
	behave_await_go();
	check(i);
	MUST(pthread_join(other, NULL) == 0);
}

BEHAVE("nice values and scheduling policies of processes and threads")
{
	pid_t pids[SETTINGS];

	for (intptr_t i = 0; i < SETTINGS; i++)
		pids[i] = behave_fork(process, (void *)i);
	behave_await_children(SETTINGS);
	FREEZE();
	for (int i = 0; i < SETTINGS; i++)
		behave_join(pids[i]);
}
