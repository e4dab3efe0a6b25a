/* SPDX-License-Identifier: Apache-2.0 */
/* torpor dump, torpor pre-dump */
#include "cli/session.h"

#include "engine/engine.h"
#include "engine/script.h"
#include "engine/stats.h"

int verb_dump(const struct options *o, struct session *s)
{
	struct err err = ERR_INIT;
	int r = engine_dump(o, &s->dir, &err);

	if (r >= 0 && o->display_stats)
		r = stats_print_dump(&s->dir, &err);
	if (r < 0) {
		session_report(&err);
		session_status(false, "Dumping FAILED.");
		return r == DUMP_SCRIPT_FAILED ? EXIT_SCRIPT_FAILED : EXIT_FAILED;
	}
	session_status(true, "Dumping finished successfully");
	return EXIT_OK;
}

int verb_pre_dump(const struct options *o, struct session *s)
{
	struct err err = ERR_INIT;
	int r = engine_pre_dump(o, &s->dir, &err);

	if (r >= 0 && o->display_stats)
		r = stats_print_dump(&s->dir, &err);
	if (r < 0) {
		session_report(&err);
		session_status(false, "Pre-dumping FAILED.");
		return EXIT_FAILED;
	}
	session_status(true, "Pre-dumping finished successfully");
	return EXIT_OK;
}
