/* SPDX-License-Identifier: Apache-2.0 */
/* What takes CAP_SYS_NICE: real-time policies with their priorities, and negative nice values. */
#include "behave.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static const struct {
	int policy, priority, nice;
} settings[] = {{SCHED_FIFO, 1, 0},    {SCHED_RR, 50, 0},
		{SCHED_RR, 99, -3},    {SCHED_FIFO | SCHED_RESET_ON_FORK, 20, 0},
		{SCHED_OTHER, 0, -20}, {SCHED_BATCH, 0, -5}};
enum { SETTINGS = sizeof(settings) / sizeof(settings[0]) };

static _Atomic int set_up;

static void *thread(void *arg)
{
	const int i = (int)(intptr_t)arg;
	struct sched_param param = {.sched_priority = settings[i].priority};

	SYS(setpriority(PRIO_PROCESS, 0, settings[i].nice));
	SYS(sched_setscheduler(0, settings[i].policy, &param));
	set_up++;
	behave_await_go();
	memset(&param, 0, sizeof(param));
	SYS(sched_getparam(0, &param));
	CHECK_EQ(sched_getscheduler(0), settings[i].policy);
	CHECK_EQ(param.sched_priority, settings[i].priority);
	CHECK_EQ(getpriority(PRIO_PROCESS, 0), settings[i].nice);
	return NULL;
}

BEHAVE("real-time policies and negative nice values",
       .not_in_userns = "they take CAP_SYS_NICE outside of namespaces")
{
	struct sched_param param = {.sched_priority = 1};
	pthread_t threads[SETTINGS];

	if (sched_setscheduler(0, SCHED_FIFO, &param) < 0)
		behave_skip("real-time scheduling: %s", strerror(errno));
	SYS(sched_setscheduler(0, SCHED_OTHER, &(struct sched_param){0}));
	for (intptr_t i = 0; i < SETTINGS; i++)
		threads[i] = behave_thread(thread, (void *)i);
	while (set_up < SETTINGS)
		behave_nap(1);
	FREEZE();
	CHECK_EQ(sched_getscheduler(0), SCHED_OTHER);
	for (int i = 0; i < SETTINGS; i++)
		MUST(pthread_join(threads[i], NULL) == 0);
}
