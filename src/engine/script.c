/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/script.h"

#include "base/auto.h"
#include "base/log.h"
#include "base/vec.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>

extern char **environ;

/* What a script's environment differs in from ours. */
struct script_env {
	char action[64];
	char image_dir[64];
	char init_pid[64];
	char **vars; /* ours without stale CRTOOLS_ variables, and these; ends with NULL */
};

static void script_env_make(struct script_env *env, const struct img_dir *dir, const char *action,
			    pid_t init_pid)
{
	size_t n = 0;

	while (environ[n])
		n++;
	env->vars = xcalloc(n + 4, sizeof(*env->vars));
	n = 0;
	for (char **var = environ; *var; var++) {
		if (strncmp(*var, "CRTOOLS_", strlen("CRTOOLS_")) != 0)
			env->vars[n++] = *var;
	}
	snprintf(env->action, sizeof(env->action), "CRTOOLS_SCRIPT_ACTION=%s", action);
	env->vars[n++] = env->action;
	snprintf(env->image_dir, sizeof(env->image_dir), "CRTOOLS_IMAGE_DIR=/proc/%d/fd/%d",
		 (int)getpid(), dir->fd);
	env->vars[n++] = env->image_dir;
	if (init_pid > 0) {
		snprintf(env->init_pid, sizeof(env->init_pid), "CRTOOLS_INIT_PID=%d",
			 (int)init_pid);
		env->vars[n++] = env->init_pid;
	}
}

/* In the child: no allocation, no way back. 127 is what shells say, too. */
__attribute__((noreturn)) static void script_exec(const char *path, char **vars, int out)
{
	char *argv[] = {(char *)path, NULL};
	sigset_t none;

	/* The log's descriptor is above 2: nothing is overwritten before it is copied. */
	dup2(out, STDOUT_FILENO);
	dup2(out, STDERR_FILENO);
	close(STDIN_FILENO);
	syscall(SYS_close_range, STDERR_FILENO + 1, ~0U, 0);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	execvpe(path, argv, vars);
	_exit(127);
}

static int script_wait(const char *path, const char *action, pid_t pid, struct err *err)
{
	int status;

	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR)
			return err_sys(err, -errno, "wait for action script %s (%s)", path, action);
	}
	if (WIFSIGNALED(status))
		return err_input(err, "action script %s (%s): killed by signal %d", path, action,
				 WTERMSIG(status));
	if (WEXITSTATUS(status) == 127)
		return err_sys(err, -ECANCELED,
			       "action script %s (%s): can't be run, or status 127", path, action);
	if (WEXITSTATUS(status) != 0)
		return err_input(err, "action script %s (%s): exit status %d", path, action,
				 WEXITSTATUS(status));
	log_debug("action script %s (%s): done", path, action);
	return 0;
}

static int script_run(const char *path, const struct script_env *env, const char *action,
		      struct err *err)
{
	pid_t pid;

	log_info("Running %s scripts: %s", action, path);
	pid = fork();
	if (pid < 0)
		return err_sys(err, -errno, "fork for action script %s (%s)", path, action);
	if (pid == 0)
		script_exec(path, env->vars, log_fd());
	return script_wait(path, action, pid, err);
}

int scripts_run(const struct options *o, const struct img_dir *dir, const char *action,
		pid_t init_pid, struct err *err)
{
	struct script_env env;
	sigset_t chld;
	sigset_t saved;
	int ret = 0;

	if (o->scripts.len == 0)
		return 0;
	script_env_make(&env, dir, action, init_pid);
	sigemptyset(&chld);
	sigaddset(&chld, SIGCHLD);
	sigprocmask(SIG_BLOCK, &chld, &saved);
	for (size_t i = o->scripts.len; i-- > 0;) {
		int r = script_run(o->scripts.data[i], &env, action, err);

		ret = ret < 0 ? ret : r;
	}
	sigprocmask(SIG_SETMASK, &saved, NULL);
	free(env.vars);
	return ret;
}
