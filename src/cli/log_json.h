/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/log_reader.h"

/* One line of JSON for an entry, to free(). Its members: docs/torpor-log.8.scd. */
char *log_entry_json(const struct log_reader *r, const struct log_entry *e);
