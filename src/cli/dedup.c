/* SPDX-License-Identifier: Apache-2.0 */
/* torpor dedup */
#include "cli/session.h"

#include "engine/engine.h"

int verb_dedup(const struct options *o, struct session *s)
{
	struct err err = ERR_INIT;

	if (engine_dedup(o, &s->dir, &err) >= 0)
		return EXIT_OK;
	session_report(&err);
	return EXIT_FAILED;
}
