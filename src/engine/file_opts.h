/* SPDX-License-Identifier: Apache-2.0 */
/* From the command line's options about files to those of file/. */
#pragma once

#include "engine/options.h"
#include "file/files.h"
#include "file/policy.h"

/* What a dump, a restore and a check have in common. */
struct file_opts file_opts_of(const struct options *o);
/* --file-policy-file, then --file-policy: the latter count more. */
MUST_USE int file_policies_of(const struct options *o, struct arena *a, struct policies *ret,
			      struct err *err);
