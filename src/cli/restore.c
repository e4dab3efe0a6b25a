/* SPDX-License-Identifier: Apache-2.0 */
/* torpor restore */
#include "cli/session.h"

#include "base/auto.h"
#include "base/log.h"
#include "cli/binary_log.h"
#include "engine/engine.h"
#include "engine/stats.h"

#include <sys/wait.h>

/* Until no child is left; how the restored tree ends is its own affair. */
static void wait_for_children(void)
{
	while (wait(NULL) >= 0 || errno == EINTR)
		;
}

static int restore_failed(const struct err *err)
{
	session_report(err);
	session_status(false, "Restoring FAILED.");
	return EXIT_FAILED;
}

int verb_restore(const struct options *o, struct session *s)
{
	struct err err = ERR_INIT;
	int r;

	if (o->pid)
		log_warn("option --tree means nothing to restore and is ignored");
	r = o->dry_run ? engine_restore_dry_run(o, &s->dir, &err)
		       : engine_restore(o, &s->dir, &err);

	if (r >= 0 && o->display_stats && !o->dry_run)
		r = stats_print_restore(&s->dir, &err);
	if (r < 0)
		return restore_failed(&err);
	if (o->dry_run)
		return EXIT_OK;
	session_status(true, "Restore finished successfully. Tasks resumed.");
	binary_log_end(); /* nobody should wait for more while the tree runs */
	if (o->exec_cmd) {
		/* Becomes the parent of the tree; what is ours is close-on-exec. */
		fflush(NULL);
		execvp(o->exec_argv[0], o->exec_argv);
		err_sys(&err, -errno, "run %s", o->exec_argv[0]);
		return restore_failed(&err);
	}
	if (!o->detached)
		wait_for_children();
	return EXIT_OK;
}
