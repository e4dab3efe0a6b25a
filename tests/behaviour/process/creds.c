/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Credentials of processes: user and group ids of all four kinds, supplementary groups, the five
 * capability sets, securebits, no_new_privs.
 */
#include "behave.h"

#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <stdio.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { MANY_GROUPS = 1000 };

static void set_caps(uint64_t effective, uint64_t permitted, uint64_t inheritable)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {
		{(uint32_t)effective, (uint32_t)permitted, (uint32_t)inheritable},
		{(uint32_t)(effective >> 32), (uint32_t)(permitted >> 32),
		 (uint32_t)(inheritable >> 32)}};

	SYS(syscall(SYS_capset, &head, data));
}

static void four_kinds(void)
{
	SYS(setresgid(101, 102, 103));
	setfsgid(104);
	SYS(setresuid(201, 0, 203));
	setfsuid(204);
}

static void somebody(void)
{
	SYS(setgroups(0, NULL));
	SYS(setresgid(1000, 1000, 1000));
	SYS(setresuid(1000, 1000, 1000));
}

static void many_groups(void)
{
	static gid_t groups[MANY_GROUPS];

	for (unsigned int i = 0; i < MANY_GROUPS; i++)
		groups[i] = 3 * i + 1;
	SYS(setgroups(MANY_GROUPS, groups));
}

static void set_id(void)
{
	SYS(setresuid(1000, 0, 1001)); /* as a set-user-id program that may go back */
}

static void few_capabilities(void)
{
	SYS(prctl(PR_CAPBSET_DROP, CAP_SYS_MODULE, 0, 0, 0));
	SYS(prctl(PR_CAPBSET_DROP, CAP_BPF, 0, 0, 0));
	set_caps(1ul << CAP_NET_BIND_SERVICE, 1ul << CAP_NET_BIND_SERVICE | 1ul << CAP_BPF,
		 1ul << CAP_NET_BIND_SERVICE | 1ul << CAP_CHOWN);
}

static void kept_capabilities(void)
{
	SYS(prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0));
	SYS(setresgid(1000, 1000, 1000));
	SYS(setresuid(1000, 1000, 1000));
	set_caps(1ul << CAP_KILL, 1ul << CAP_KILL | 1ul << CAP_NET_RAW, 0);
}

static void ambient(void)
{
	const uint64_t set = 1ul << CAP_NET_RAW | 1ul << CAP_CHECKPOINT_RESTORE;

	SYS(prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0));
	SYS(setresuid(1000, 1000, 1000));
	set_caps(set, set, set);
	SYS(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_NET_RAW, 0, 0));
	SYS(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_CHECKPOINT_RESTORE, 0, 0));
}

static void secure(void)
{
	SYS(prctl(PR_SET_SECUREBITS,
		  SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP | SECBIT_KEEP_CAPS,
		  0, 0, 0));
}

static void no_new_privileges(void)
{
	SYS(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
}

static void (*const changes[])(void) = {four_kinds, somebody,	      many_groups,
					set_id,	    few_capabilities, kept_capabilities,
					ambient,    secure,	      no_new_privileges};
enum { CHILDREN = sizeof(changes) / sizeof(changes[0]) };

/* By calls: /proc/self belongs to root in a process that changed its ids. */
static void describe(char *text, size_t size)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2];
	uint64_t bounding = 0, raised = 0;
	uid_t u[3];
	gid_t g[3];
	size_t n;

	SYS(getresuid(&u[0], &u[1], &u[2]));
	SYS(getresgid(&g[0], &g[1], &g[2]));
	SYS(syscall(SYS_capget, &head, data));
	for (unsigned long cap = 0; cap <= CAP_LAST_CAP; cap++) {
		bounding |= (uint64_t)(prctl(PR_CAPBSET_READ, cap, 0, 0, 0) == 1) << cap;
		raised |= (uint64_t)(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, cap, 0, 0) == 1)
			  << cap;
	}
	n = (size_t)snprintf(
		text, size,
		"uid %u/%u/%u/%d gid %u/%u/%u/%d effective %x:%x permitted %x:%x "
		"inheritable %x:%x bounding %lx ambient %lx securebits %x keep %d nnp %d",
		u[0], u[1], u[2], setfsuid((uid_t)-1), g[0], g[1], g[2], setfsgid((gid_t)-1),
		data[0].effective, data[1].effective, data[0].permitted, data[1].permitted,
		data[0].inheritable, data[1].inheritable, bounding, raised,
		prctl(PR_GET_SECUREBITS, 0, 0, 0, 0), prctl(PR_GET_KEEPCAPS, 0, 0, 0, 0),
		prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
	MUST(n < size);
}

static void child(void *arg)
{
	static gid_t groups[MANY_GROUPS], groups_now[MANY_GROUPS];
	char before[512], after[512];
	int n;

	changes[(intptr_t)arg]();
	describe(before, sizeof(before));
	n = SYS(getgroups(MANY_GROUPS, groups));
	behave_child_ready();
	behave_await_go();
	describe(after, sizeof(after));
	CHECK_STR(after, before);
	CHECK_EQ(getgroups(MANY_GROUPS, groups_now), n);
	CHECK_MEM(groups_now, groups, (size_t)n * sizeof(groups[0]));
}

BEHAVE("credentials: ids, groups, capabilities, securebits, no_new_privs")
{
	pid_t pids[CHILDREN];

	for (intptr_t i = 0; i < CHILDREN; i++)
		pids[i] = behave_fork(child, (void *)i);
	behave_await_children(CHILDREN);
	FREEZE();
	for (int i = 0; i < CHILDREN; i++)
		behave_join(pids[i]);
}
