/* SPDX-License-Identifier: Apache-2.0 */
#include "remote/guard.h"

#include "base/auto.h"
#include "base/log.h"
#include "kernel/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void signal_all(const struct target_tree *tree, int signo)
{
	for (size_t i = 0; i < tree->n; i++) {
		const struct target *t = tree->targets[i];

		if (t->state != TARGET_ZOMBIE && t->pidfd >= 0)
			(void)sys_pidfd_send_signal(t->pidfd, signo); /* or dead already */
	}
}

void tree_stop_and_kill(const struct target_tree *tree)
{
	signal_all(tree, SIGSTOP);
	signal_all(tree, SIGKILL);
}

/* In the child. A byte: we were told. Then the end of the pipe: our parent is done, or dead. */
static void watch(const struct target_tree *tree, enum guard_rule rule, int fd)
{
	bool told = false;
	char byte;
	ssize_t n;

	while ((n = read(fd, &byte, 1)) > 0 || (n < 0 && errno == EINTR))
		told |= n > 0;
	if (told == (rule == GUARD_KILLS_IF_TOLD))
		tree_stop_and_kill(tree);
	_exit(0);
}

void guard_start(struct guard *g, const struct target_tree *tree, enum guard_rule rule)
{
	int ends[2] = {-EBADF, -EBADF};

	g->child = pipe2(ends, O_CLOEXEC) < 0 ? -1 : fork();
	if (g->child == 0) {
		close(ends[1]);
		watch(tree, rule, ends[0]);
	}
	if (g->child < 0)
		log_debug("no guard, should torpor be killed within the next moments: %s",
			  strerror(errno));
	fd_close(ends[0]);
	g->fd = ends[1];
}

void guard_tell(struct guard *g)
{
	if (g->child > 0 && write(g->fd, "", 1) != 1)
		log_debug("the guard has gone: %s", strerror(errno));
}

void guard_end(struct guard *g)
{
	g->fd = fd_close(g->fd);
	while (g->child > 0 && waitpid(g->child, NULL, 0) < 0 && errno == EINTR)
		;
}
