/* SPDX-License-Identifier: Apache-2.0 */
/* Configuration files: options without dashes, one per line, before the command line's. */
#pragma once

#include "cli/options.h"

/*
 * All files that apply, in order: /etc/criu/default.conf and $HOME/.criu/default.conf (unless
 * --no-default-config or --config is among the words), the one of $CRIU_CONFIG_FILE, the one of
 * --config. A file that can't be read is passed over.
 */
MUST_USE int config_load_all(struct option_parser *p, int argc, char **argv, struct err *err);
MUST_USE int config_load_file(struct option_parser *p, const char *path, struct err *err);
/*
 * Splits one line, in place. 1: an option, *ret_value is NULL or a word; 0: nothing on it;
 * -EINVAL: more than one value, or a quote without end; *ret_problem says which.
 */
int config_split_line(char *line, char **ret_name, char **ret_value, const char **ret_problem);
