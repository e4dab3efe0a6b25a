/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Credentials belong to the thread, not to the process: the kernel's calls (without the C
 * library, which changes all threads) give each thread ids, groups and capabilities of its own.
 */
#include "behave.h"

#include <grp.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { THREADS = 4 };

static _Atomic int set_up;

static const char *creds(void)
{
	static __thread char text[2048];
	static const char *const fields[] = {"Uid",    "Gid",	 "Groups", "CapInh",
					     "CapPrm", "CapEff", "CapBnd", "CapAmb"};
	size_t n = 0;

	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s %s; ", fields[i],
				      behave_proc_status("thread-self", fields[i]));
	n += (size_t)snprintf(text + n, sizeof(text) - n, "securebits %x nnp %d",
			      prctl(PR_GET_SECUREBITS), prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
	return text;
}

static void set_caps(uint32_t effective, uint32_t permitted, uint32_t inheritable)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {{effective, permitted, inheritable}, {0, 0, 0}};

	SYS(syscall(SYS_capset, &head, data));
}

static void change(long i)
{
	const gid_t groups[] = {100, 200 + (gid_t)i, 60000};

	SYS(syscall(SYS_setgroups, i, groups));
	SYS(syscall(SYS_setresgid, 10 + i, 20 + i, 30 + i));
	switch (i) {
	case 0: /* root with few capabilities */
		set_caps(1 << CAP_NET_ADMIN, 1 << CAP_NET_ADMIN | 1 << CAP_KILL, 1 << CAP_KILL);
		break;
	case 1: /* somebody without any */
		SYS(syscall(SYS_setresuid, 1001, 1001, 1001));
		SYS(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
		break;
	case 2: /* somebody who kept his */
		SYS(prctl(PR_SET_SECUREBITS, 1 << 4));
		SYS(syscall(SYS_setresuid, 1002, 0, 1003));
		break;
	default:
		SYS(syscall(SYS_setfsuid, 4242));
		SYS(prctl(PR_CAPBSET_DROP, CAP_MKNOD, 0, 0, 0));
	}
}

static void *thread(void *arg)
{
	char before[2048];

	change((long)(intptr_t)arg);
	snprintf(before, sizeof(before), "%s", creds());
	set_up++;
	behave_await_go();
	CHECK_STR(creds(), before);
	return NULL;
}

BEHAVE("threads of one process with different credentials")
{
	pthread_t threads[THREADS];
	char before[2048];

	for (intptr_t i = 0; i < THREADS; i++)
		threads[i] = behave_thread(thread, (void *)i);
	while (set_up < THREADS)
		behave_nap(1);
	snprintf(before, sizeof(before), "%s", creds());
	MUST(strstr(before, "Uid 0"));
	FREEZE();
	CHECK_STR(creds(), before);
	for (int i = 0; i < THREADS; i++)
		MUST(pthread_join(threads[i], NULL) == 0);
}
