/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What may have become of a file between dump and restore: a list of rules, of which the last one
 * that matches a file's path counts.
 *
 * Patterns are globs for whole paths. `*` and `?` stand for what has no slash in it, `**` for
 * anything, [a-z] and [!a-z] for one character, and a backslash takes the next one as it is. A
 * pattern without a slash is for the last component. They are matched only, never opened.
 */
#pragma once

#include "base/arena.h"
#include "base/vec.h"
#include "image/image.h"

#include <stdbool.h>

enum file_policy {			     /* disk values */
		   POLICY_EXACT = 0,	     /* it must be as it was */
		   POLICY_APPEND_OK = 1,     /* what was in it must be, and more may follow */
		   POLICY_TRUNCATE_BACK = 2, /* what follows is cut off */
		   POLICY_IGNORE = 3,	     /* it must be there */
		   POLICY_DEFAULT, /* no rule: exact, but logs may change; not a disk value */
};

struct policy_rule {
	const char *pattern;
	enum file_policy policy;
};
struct policies {
	VEC(struct policy_rule) rules;
};
void policies_done(struct policies *p);

/* "PATTERN=POLICY", as on the command line. Copied into the arena. */
MUST_USE int policies_add_word(struct policies *p, const char *word, struct arena *a,
			       struct err *err);
/* A text file: lines "POLICY PATTERN", empty ones, and comments (#). Errors name the line. */
MUST_USE int policies_add_file(struct policies *p, const char *path, struct arena *a,
			       struct err *err);
/* file-policy.img */
MUST_USE int policies_add_image(struct policies *p, const struct img_dir *dir, struct arena *a,
				struct err *err);
MUST_USE int policies_write(const struct policies *p, const struct img_dir *dir, struct err *err);

/* NULL has no rules. */
enum file_policy policy_of(const struct policies *p, const char *path);
/* Does the whole path match? Takes time by the product of the lengths at most. */
bool policy_matches(const char *pattern, const char *path);
