/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Action scripts (--action-script): programs that are run at fixed points of a verb, without
 * arguments, with the work directory as current directory, stdin closed, stdout and stderr going
 * to the log. The environment says what happens: CRTOOLS_SCRIPT_ACTION (the action's name),
 * CRTOOLS_IMAGE_DIR (as a /proc path of torpor's own descriptor) and CRTOOLS_INIT_PID (the root
 * task's pid; absent while there is none).
 */
#pragma once

#include "engine/options.h"
#include "image/image.h"

#include <errno.h>

/* The actions' names, for both verbs in the order in which they come. */
#define SCRIPT_PRE_DUMP		     "pre-dump"
#define SCRIPT_POST_DUMP	     "post-dump"
#define SCRIPT_PRE_RESTORE	     "pre-restore"
#define SCRIPT_SETUP_NAMESPACES	     "setup-namespaces"
#define SCRIPT_POST_SETUP_NAMESPACES "post-setup-namespaces"
#define SCRIPT_POST_RESTORE	     "post-restore"
#define SCRIPT_NETWORK_LOCK	     "network-lock"
#define SCRIPT_NETWORK_UNLOCK	     "network-unlock"
#define SCRIPT_PRE_RESUME	     "pre-resume"
#define SCRIPT_POST_RESUME	     "post-resume"

/*
 * What a dump returns (and err->code is) when all went well but a post-dump script: the images
 * stay, the tree runs on, and the command's exit status is 255.
 */
#define DUMP_SCRIPT_FAILED (-ECANCELED)

/*
 * Runs all scripts, the last one given first, each to its end, also when one before it failed.
 * init_pid: 0 while the root task doesn't exist or isn't known. An error if any failed (by exit
 * status, by a signal, or because it couldn't be run); it names the first. Waits only for the
 * scripts' own pids: no other child is reaped.
 */
MUST_USE int scripts_run(const struct options *o, const struct img_dir *dir, const char *action,
			 pid_t init_pid, struct err *err);
