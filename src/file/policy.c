/* SPDX-License-Identifier: Apache-2.0 */
#include "file/policy.h"

#include "base/auto.h"
#include "base/io.h"
#include "base/parse.h"
#include "image/schema/file-policy.pb-c.h"

#include <fcntl.h>
#include <string.h>

#define RULES_MAX   1024
#define PATTERN_MAX 1024

static const char *const names[] = {
	[POLICY_EXACT] = "exact",
	[POLICY_APPEND_OK] = "append-ok",
	[POLICY_TRUNCATE_BACK] = "truncate-back",
	[POLICY_IGNORE] = "ignore",
};

void policies_done(struct policies *p)
{
	vec_done(&p->rules);
}

/* ----------------------------------------------------------------- matching */

enum token { TOKEN_CHAR, TOKEN_ONE, TOKEN_CLASS, TOKEN_STAR, TOKEN_ANY };

/* The length of the class at `p`, "[a-z]"; 0 if it isn't closed: then it is an ordinary bracket. */
static size_t class_len(const char *p)
{
	size_t at = 1 + (p[1] == '!' || p[1] == '^');

	if (p[at] == ']')
		at++;
	while (p[at] && p[at] != ']')
		at++;
	return p[at] ? at + 1 : 0;
}

static enum token token_at(const char *p, size_t *ret_len)
{
	*ret_len = 1;
	switch (*p) {
	case '?':
		return TOKEN_ONE;
	case '*':
		*ret_len = 1 + (p[1] == '*');
		return p[1] == '*' ? TOKEN_ANY : TOKEN_STAR;
	case '[':
		*ret_len = class_len(p);
		if (*ret_len)
			return TOKEN_CLASS;
		*ret_len = 1;
		return TOKEN_CHAR;
	case '\\':
		*ret_len = 1 + (p[1] != '\0');
		return TOKEN_CHAR;
	default:
		return TOKEN_CHAR;
	}
}

static bool is_in_class(const char *p, size_t len, char c)
{
	bool negated = p[1] == '!' || p[1] == '^', found = false;

	for (size_t at = 1 + negated; at < len - 1; at++) {
		unsigned char low = (unsigned char)p[at], high = low;

		if (p[at + 1] == '-' && at + 2 < len - 1) {
			high = (unsigned char)p[at + 2];
			at += 2;
		}
		found |= low <= (unsigned char)c && (unsigned char)c <= high;
	}
	return found != negated && c != '/';
}

/* The places in a pattern where a match of what has been read of the path may stand. */
struct places {
	bool at[PATTERN_MAX + 1];
	size_t low, high; /* none outside of these */
};

static void places_add(struct places *s, const char *pattern, size_t at)
{
	size_t len;

	/* A star may stand for nothing. */
	for (;; at += len) {
		enum token token = token_at(pattern + at, &len);

		s->at[at] = true;
		s->low = MIN(s->low, at);
		s->high = MAX(s->high, at);
		if (token != TOKEN_STAR && token != TOKEN_ANY)
			return;
	}
}

static void places_clear(struct places *s)
{
	if (s->low <= s->high)
		memset(s->at + s->low, 0, s->high - s->low + 1);
	s->low = SIZE_MAX;
	s->high = 0;
}

/* Where one more character of the path leads from `at`. */
static void advance(struct places *next, const char *pattern, size_t at, char c)
{
	const char *p = pattern + at;
	size_t len;

	switch (token_at(p, &len)) {
	case TOKEN_ANY:
		places_add(next, pattern, at);
		break;
	case TOKEN_STAR:
		if (c != '/')
			places_add(next, pattern, at);
		break;
	case TOKEN_ONE:
		if (c != '/')
			places_add(next, pattern, at + len);
		break;
	case TOKEN_CLASS:
		if (is_in_class(p, len, c))
			places_add(next, pattern, at + len);
		break;
	case TOKEN_CHAR:
		if (*p && p[len - 1] == c)
			places_add(next, pattern, at + len);
		break;
	}
}

/* All ways to match at once, so that no pattern takes longer than by the product of the lengths. */
bool policy_matches(const char *pattern, const char *path)
{
	struct places sets[2] = {{.low = SIZE_MAX}, {.low = SIZE_MAX}};
	size_t len = strlen(pattern);
	int now = 0;

	if (len > PATTERN_MAX)
		return false;
	places_add(&sets[now], pattern, 0);
	for (; *path && sets[now].low <= sets[now].high; path++, now = !now) {
		const struct places *s = &sets[now];

		places_clear(&sets[!now]);
		for (size_t at = s->low; at <= s->high; at++)
			if (s->at[at])
				advance(&sets[!now], pattern, at, *path);
	}
	return !*path && sets[now].at[len];
}

enum file_policy policy_of(const struct policies *p, const char *path)
{
	const char *last = strrchr(path, '/');

	for (size_t i = p ? p->rules.len : 0; i-- > 0;) {
		const char *pattern = p->rules.data[i].pattern;

		if (policy_matches(pattern, strchr(pattern, '/') || !last ? path : last + 1))
			return p->rules.data[i].policy;
	}
	return POLICY_DEFAULT;
}

/* ----------------------------------------------------------------- reading */

static int add(struct policies *p, const char *pattern, enum file_policy policy, struct err *err)
{
	if (!*pattern)
		return err_input(err, "an empty pattern");
	if (strlen(pattern) > PATTERN_MAX)
		return err_input(err, "a pattern of %zu bytes, %d is the limit", strlen(pattern),
				 PATTERN_MAX);
	if (strchr(pattern, '/') && pattern[0] != '/' && !str_after(pattern, "**"))
		return err_input(err,
				 "pattern '%.100s': is neither for a whole path (it would begin "
				 "with / or **) nor for a name (it has a slash)",
				 pattern);
	if (p->rules.len == RULES_MAX)
		return err_input(err, "there are more than %d rules for files", RULES_MAX);
	*vec_push(&p->rules) = (struct policy_rule){pattern, policy};
	return 0;
}

static int parse_policy(const char *name, enum file_policy *ret, struct err *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (strcmp(names[i], name) == 0) {
			*ret = (enum file_policy)i;
			return 0;
		}
	}
	return err_input(err, "'%.100s' is none of exact, append-ok, truncate-back, ignore", name);
}

int policies_add_word(struct policies *p, const char *word, struct arena *a, struct err *err)
{
	const char *equals = strrchr(word, '=');
	enum file_policy policy = POLICY_DEFAULT;

	if (!equals)
		return err_input(err, "'%.100s' isn't PATTERN=POLICY", word);
	TRY(parse_policy(equals + 1, &policy, err));
	return add(p, arena_printf(a, "%.*s", (int)(equals - word), word), policy, err);
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

/* The pattern is the rest of the line: there may be blanks in it. */
static int add_line(struct policies *p, char *line, struct arena *a, struct err *err)
{
	size_t len = strlen(line), word;
	enum file_policy policy = POLICY_DEFAULT;

	while (len && is_blank(line[len - 1]))
		line[--len] = '\0';
	while (is_blank(*line))
		line++;
	if (!*line || *line == '#')
		return 0;
	word = strcspn(line, " \t");
	if (!line[word])
		return err_input(err, "'%.100s' isn't POLICY PATTERN", line);
	line[word] = '\0';
	TRY(parse_policy(line, &policy, err));
	line += word + 1;
	return add(p, arena_str(a, line + strspn(line, " \t")), policy, err);
}

int policies_add_file(struct policies *p, const char *path, struct arena *a, struct err *err)
{
	auto_free char *text = NULL;
	size_t len;
	int n = 0, r = io_read_file(AT_FDCWD, path, &text, &len);

	if (r < 0)
		return err_sys(err, r, "read %s", path);
	if (strlen(text) != len)
		return err_input(err, "%s: isn't a text: there is a zero byte in it", path);
	for (char *line = text, *end; line; line = end) {
		end = strchr(line, '\n');
		if (end)
			*end++ = '\0';
		n++;
		if (add_line(p, line, a, err) < 0)
			return err_in(err, "%s: line %d", path, n);
	}
	return 0;
}

/* ------------------------------------------------------------------- image */

int policies_add_image(struct policies *p, const struct img_dir *dir, struct arena *a,
		       struct err *err)
{
	auto_img_reader struct img_reader *r = NULL;
	FilePolicyEntry *e;
	int got;

	TRY(img_open(dir, IMG_FILE_POLICY, 0, &r, err));
	for (;;) {
		uint64_t at = r ? img_tell(r) : 0;

		got = img_get(r, a, &e, err);
		if (got <= 0)
			return got;
		if (e->policy >= POLICY_DEFAULT)
			err_input(err, "policy: %u is unknown", e->policy);
		else
			(void)!add(p, e->pattern, (enum file_policy)e->policy, err);
		if (err->code < 0)
			return err_in(err, "file-policy.img: record at %llu",
				      (unsigned long long)at);
	}
}

int policies_write(const struct policies *p, const struct img_dir *dir, struct err *err)
{
	auto_img_writer struct img_writer *w = NULL;

	TRY(img_create(dir, IMG_FILE_POLICY, 0, &w, err));
	vec_foreach (rule, &p->rules) {
		FilePolicyEntry e = FILE_POLICY_ENTRY__INIT;

		e.pattern = (char *)rule->pattern;
		e.policy = rule->policy;
		TRY(img_put(w, &e.base, err));
	}
	return img_close(TAKE_PTR(w), err);
}
