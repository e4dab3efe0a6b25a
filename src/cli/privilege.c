/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The least that any work on other processes needs. What single steps need beyond that is said
 * by the step that fails, naming the capability.
 */
#include "cli/session.h"

#include <linux/capability.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef CAP_CHECKPOINT_RESTORE
#define CAP_CHECKPOINT_RESTORE 40 /* since Linux 5.9 */
#endif

static bool has_capability(unsigned int cap)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {0};

	if (syscall(SYS_capget, &head, data) < 0)
		return false;
	return data[CAP_TO_INDEX(cap)].effective & CAP_TO_MASK(cap);
}

bool privilege_check(const struct options *o)
{
	if (!has_capability(CAP_CHECKPOINT_RESTORE) && !has_capability(CAP_SYS_ADMIN)) {
		printf("torpor needs CAP_CHECKPOINT_RESTORE or CAP_SYS_ADMIN, and has neither.\n"
		       "Run it as root, or try: setcap cap_checkpoint_restore+eip PATH-OF-TORPOR\n");
		return false;
	}
	if (geteuid() == 0)
		return true;
	if (!o->unprivileged) {
		printf("torpor isn't run by root, which limits what it can dump and restore.\n"
		       "Pass --unprivileged to try nevertheless.\n");
		return false;
	}
	/* A file with capabilities makes us undumpable: /proc/self would belong to root. */
	if (prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) < 0)
		perror("torpor: prctl(PR_SET_DUMPABLE)");
	return true;
}
