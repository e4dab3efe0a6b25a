/* SPDX-License-Identifier: Apache-2.0 */
/* torpor check: of the kernel, or (ours) of a tree that is to be dumped. */
#include "cli/session.h"

#include "engine/engine.h"
#include "engine/feature.h"

int verb_check(const struct options *o)
{
	struct err err = ERR_INIT;
	int r = o->pid ? engine_check_tree(o, &err) : features_check(o, &err);

	if (r < 0)
		session_report(&err);
	return r == 0 ? EXIT_OK : EXIT_FAILED;
}
