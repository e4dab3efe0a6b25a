/* SPDX-License-Identifier: Apache-2.0 */
/*
 * In two passes, so that the checksums of large files are taken side by side: the first one looks
 * at what is there and asks for contents, the second one compares.
 *
 * What is compared is what the image has: CRIU's have no checksums, older ones no build ids, and
 * the size of a file that was open to append only (a log) is one that readers don't compare. It is
 * compared here if there is a rule for the file; so is the checksum of one that the tree may write
 * to.
 */
#include "file/validate.h"

#include "base/auto.h"
#include "base/crc32c.h"
#include "base/log.h"
#include "base/parse.h"
#include "file/contents.h"
#include "file/cut.h"
#include "file/ext.h"
#include "file/path.h"
#include "file/policy.h"
#include "file/reg.h"
#include "file/remap.h"
#include "file/users.h"
#include "image/schema/regfile.pb-c.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>
#include <sys/sysmacros.h>

/* A file that is there, and what will be compared. */
struct look {
	struct rfile *rf;
	struct stat st;
	enum file_policy policy;
	bool knows_size;
	uint64_t size; /* at the dump */
	struct content *content;
	struct sum *sum;
};

/* All files of one name with which the same is wrong. */
struct finding {
	const char *name, *text;
};

/* A file that isn't what it was, but has a copy. */
struct replaced {
	struct rfile *rf;
	const char *text;
};

struct validation {
	struct rfiles *f;
	struct contents *contents;
	VEC(struct look) looks;
	VEC(struct finding) findings;
	VEC(struct replaced) replaced;
	struct map by_text; /* checksums of name and text, to places in `findings` */
	struct map by_id;   /* file ids, to places in `findings` */
};

/* What is wrong with one file: as much as fits, which is all but for very long errors. */
struct text {
	char buf[400];
	size_t len;
};

static void __attribute__((format(printf, 2, 3))) add(struct text *t, const char *fmt, ...)
{
	char one[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(one, sizeof(one), fmt, ap);
	va_end(ap);
	t->len += (size_t)snprintf(t->buf + t->len, sizeof(t->buf) - t->len, "%s%s",
				   t->len ? ", " : "", one);
	t->len = MIN(t->len, sizeof(t->buf) - 1);
}

static const RegFileEntry *entry(const struct rfile *rf)
{
	return rf->e->reg;
}

static void found(struct validation *v, struct rfile *rf, const struct text *t)
{
	const char *name = rfile_name(rf);
	uint32_t key = crc32c(crc32c(0, name, strlen(name)), t->buf, t->len);
	size_t i = map_get(&v->by_text, key);

	if (entry(rf)->has_embedded_id && !rf->remap) {
		*vec_push(&v->replaced) = (struct replaced){rf, arena_str(v->f->a, t->buf)};
		return;
	}
	if (i == MAP_NONE || strcmp(v->findings.data[i].name, name) ||
	    strcmp(v->findings.data[i].text, t->buf)) {
		i = v->findings.len;
		map_put(&v->by_text, key, i);
		*vec_push(&v->findings) = (struct finding){name, arena_str(v->f->a, t->buf)};
	}
	map_put(&v->by_id, rf->id, i);
}

/* ------------------------------------------------------------ what is there */

/*
 * A device must be the same device. Images of others don't tell which it was (only its name does).
 * Returns true if the name isn't to be looked at any further.
 */
static bool check_device(struct validation *v, struct rfile *rf)
{
	const RegFileEntry *e = entry(rf);
	mode_t type = e->mode & S_IFMT;
	struct text t = {.len = 0};
	const char *node;
	struct stat st;
	uint64_t rdev;

	if ((type != S_IFCHR && type != S_IFBLK) || !ext_get(&e->base, EXT_REG_RDEV, &rdev))
		return false;
	if (fstatat(v->f->root, path_rel(e->name), &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    (st.st_mode & S_IFMT) == type && st.st_rdev == rdev)
		return false;
	node = v->f->opts.evasive_devices
		       ? reg_find_device(v->f->root, v->f->a, e->name, type, rdev)
		       : NULL;
	if (!node) {
		add(&t, "isn't device %u:%u any more", major(rdev), minor(rdev));
		found(v, rf, &t);
		return true;
	}
	log_info("%s isn't device %u:%u any more, taking %s", e->name, major(rdev), minor(rdev),
		 node);
	rf->priv = (void *)node;
	return true;
}

static bool is_remapped(struct validation *v, struct rfile *rf)
{
	struct text t = {.len = 0};

	if (!rf->remap)
		return false;
	if (!remap_is_there(v->f, rf->remap)) {
		add(&t, "its link remap %s is gone", rfile_name(rf->remap->carrier));
		found(v, rf, &t);
	}
	return true;
}

static void choose_size(struct look *l, const RegFileEntry *e)
{
	l->knows_size = e->has_size || (e->has_log_size && l->policy != POLICY_DEFAULT);
	l->size = e->has_size ? e->size : e->log_size;
}

static bool compares_contents(const struct validation *v, const struct look *l)
{
	if (entry(l->rf)->may_change && l->policy == POLICY_DEFAULT)
		return false;
	return S_ISREG(l->st.st_mode) && l->policy != POLICY_IGNORE &&
	       v->f->opts.identify != FILE_BY_SIZE;
}

static struct sum_spec spec_of(const RegFileEntry *e)
{
	return (struct sum_spec){
		.part = (enum sum_part)e->checksum_config,
		.param = e->has_checksum_parameter ? e->checksum_parameter : SUM_PARAM_DEFAULT,
	};
}

/* Has it all that was summed at the dump? If not, its size tells already. */
static bool is_long_enough(const struct look *l, const struct sum_spec *spec)
{
	return (uint64_t)l->st.st_size >= sum_reach(spec, l->size);
}

static void ask_for_contents(struct validation *v, struct look *l)
{
	const RegFileEntry *e = entry(l->rf);
	struct sum_spec spec = spec_of(e);

	if (!compares_contents(v, l) || (!e->n_build_id && !e->has_checksum))
		return;
	l->content = content_of(v->contents, e->name, &l->st);
	if (e->has_checksum && l->knows_size && is_long_enough(l, &spec))
		l->sum = content_sum(v->contents, l->content, &spec, l->size);
}

static void look_at(struct validation *v, struct rfile *rf)
{
	struct look l = {.rf = rf, .policy = policy_of(v->f->opts.policies, rfile_name(rf))};
	struct text t = {.len = 0};

	if (is_remapped(v, rf))
		return;
	if (path_proc_pid(rfile_name(rf)))
		return; /* of a process that isn't there yet */
	/* Slave terminals come into being with their masters. */
	if (str_after(rfile_name(rf), "/dev/pts/") || check_device(v, rf))
		return;
	if (fstatat(v->f->root, path_rel(rfile_name(rf)), &l.st, AT_SYMLINK_NOFOLLOW) < 0) {
		add(&t, "%s", strerror(errno));
		found(v, rf, &t);
		return;
	}
	choose_size(&l, entry(rf));
	ask_for_contents(v, &l);
	*vec_push(&v->looks) = l;
}

/* ------------------------------------------------------------------ compare */

static void compare_mode(const struct validation *v, const struct look *l, struct text *t)
{
	const RegFileEntry *e = entry(l->rf);

	if (l->policy == POLICY_IGNORE || v->f->opts.skip_rwx_check)
		return;
	if ((l->st.st_mode & 07777) != (e->mode & 07777))
		add(t, "mode is %#o, was %#o", l->st.st_mode & 07777, e->mode & 07777);
}

static bool may_grow(const struct look *l)
{
	return l->policy == POLICY_APPEND_OK || l->policy == POLICY_TRUNCATE_BACK;
}

static void compare_size(const struct look *l, struct text *t)
{
	uint64_t now = (uint64_t)l->st.st_size;

	if (l->policy == POLICY_IGNORE || !S_ISREG(l->st.st_mode))
		return;
	if (!l->knows_size) {
		if (l->policy == POLICY_TRUNCATE_BACK)
			add(t, "can't be cut back: the images don't tell its size");
	} else if (now < l->size || (now > l->size && !may_grow(l))) {
		add(t, "size is %" PRIu64 ", was %" PRIu64, now, l->size);
	}
}

/* The first words of a build id, as readelf prints them. */
static void put_hex(const uint32_t *words, size_t n, char buf[20])
{
	const uint8_t *bytes = (const uint8_t *)words;
	size_t at = 0;

	buf[0] = '\0';
	for (size_t i = 0; i < n * sizeof(words[0]) && at + 3 < 20; i++)
		at += (size_t)snprintf(buf + at, 20 - at, "%02x", bytes[i]);
}

static void compare_build_id(struct validation *v, const struct look *l, struct text *t)
{
	const RegFileEntry *e = entry(l->rf);
	const uint32_t *words;
	char now[20], then[20];
	size_t n;

	if (!l->content || !e->n_build_id)
		return;
	n = content_build_id(v->contents, l->content, &words);
	if (n == e->n_build_id && !memcmp(words, e->build_id, n * sizeof(words[0])))
		return;
	put_hex(words, n, now);
	put_hex(e->build_id, e->n_build_id, then);
	add(t, "is another build: its build id is %s%s, was %s...", n ? now : "none",
	    n ? "..." : "", then);
}

static void compare_sum(const struct look *l, struct text *t)
{
	const RegFileEntry *e = entry(l->rf);
	struct sum_spec spec = spec_of(e);
	char what[64];
	uint32_t now;
	int r;

	if (!l->sum)
		return;
	r = sum_result(l->sum, &now);
	if (r < 0) {
		add(t, "can't be read: %s", strerror(-r));
	} else if (now != e->checksum) {
		sum_spec_describe(&spec, what, sizeof(what));
		add(t, "contents have changed: the checksum of %s is %08x, was %08x", what, now,
		    e->checksum);
	}
}

static void compare(struct validation *v, const struct look *l)
{
	const RegFileEntry *e = entry(l->rf);
	struct text t = {.len = 0};

	if (e->has_mode && (l->st.st_mode & S_IFMT) != (e->mode & S_IFMT)) {
		add(&t, "type is %#o, was %#o", l->st.st_mode & S_IFMT, e->mode & S_IFMT);
	} else if (e->has_mode) {
		compare_mode(v, l, &t);
		compare_size(l, &t);
		compare_build_id(v, l, &t);
		compare_sum(l, &t);
	}
	if (!t.len && l->policy == POLICY_TRUNCATE_BACK && S_ISREG(l->st.st_mode) &&
	    (uint64_t)l->st.st_size > l->size) {
		int r = cut_plan(v->f, e->name, &l->st, l->size);

		if (r < 0)
			add(&t, "can't be cut back from %" PRIu64 " to %" PRIu64 " bytes: %s",
			    (uint64_t)l->st.st_size, l->size, strerror(-r));
	}
	if (t.len)
		found(v, l->rf, &t);
}

/* ------------------------------------------------------------------- verdict */

/* Collects findings in one text, as many as fit; the others are counted. */
struct report {
	char text[800];
	size_t len, left_out;
};

static void report(struct report *rp, const struct finding *x, const struct users *u)
{
	size_t room = sizeof(rp->text) - rp->len, len;

	if (u->left_out)
		log_warn("%s: %s (%s; and %u more processes)", x->name, x->text, u->text,
			 u->left_out);
	else
		log_warn("%s: %s%s%s%s", x->name, x->text, u->len ? " (" : "", u->text,
			 u->len ? ")" : "");
	len = (size_t)snprintf(rp->text + rp->len, room, "%s%s: %s", rp->len ? "; " : "", x->name,
			       x->text);
	if (len < room && !rp->left_out) {
		rp->len += len;
		return;
	}
	rp->text[rp->len] = '\0';
	rp->left_out++;
}

static int refuse(struct validation *v, struct err *err)
{
	auto_free struct users *users = xcalloc(v->findings.len, sizeof(*users));
	struct report rp = {.len = 0};
	const struct finding *first = &v->findings.data[0];

	users_find(v->f, &v->by_id, users);
	for (size_t i = 0; i < v->findings.len; i++)
		report(&rp, &v->findings.data[i], &users[i]);
	if (v->findings.len == 1)
		err_input(err, "%s: %s%s%s%s", first->name, first->text, users[0].len ? " (" : "",
			  users[0].text, users[0].len ? ")" : "");
	else if (rp.left_out)
		err_input(err,
			  "%zu files aren't as they were at the dump: %s; and %zu more (warnings "
			  "in the log name all of them)",
			  v->findings.len, rp.text, rp.left_out);
	else
		err_input(err, "%zu files aren't as they were at the dump: %s", v->findings.len,
			  rp.text);
	return err_hint(err, "bring the files back to what they were at the dump, or say with "
			     "--file-policy what may differ (permission bits: or pass "
			     "--skip-file-rwx-check; devices: or --evasive-devices)");
}

static int take_copies(struct validation *v, struct err *err)
{
	vec_foreach (x, &v->replaced) {
		log_info("%s: %s: taken from the images", rfile_name(x->rf), x->text);
		if (remap_to_copy(v->f, x->rf, entry(x->rf)->embedded_id, err) < 0)
			return err_in(err, "%s has changed: %s", rfile_name(x->rf), x->text);
	}
	if (v->replaced.len)
		log_warn("%zu files have changed since the dump; as they were then, they are "
			 "taken from the images",
			 v->replaced.len);
	return 0;
}

static int run(struct validation *v, struct err *err)
{
	vec_foreach (rf, &v->f->files)
		if (rf->kind == &reg_kind && !rf->is_carrier)
			look_at(v, rf);
	contents_wait(v->contents);
	vec_foreach (l, &v->looks)
		compare(v, l);
	return v->findings.len ? refuse(v, err) : take_copies(v, err);
}

int validate_files(struct rfiles *f, struct err *err)
{
	struct validation v = {.f = f, .contents = contents_new(f->root, f->a)};
	int r = run(&v, err);

	contents_free(v.contents);
	vec_done(&v.looks);
	vec_done(&v.findings);
	vec_done(&v.replaced);
	map_done(&v.by_text);
	map_done(&v.by_id);
	return r;
}
