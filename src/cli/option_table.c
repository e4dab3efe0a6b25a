/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All options, one row each. To add one: a row here, a field in engine/options.h, a paragraph in
 * docs/torpor.8.scd (tests/unit/test_options.c checks that it is there).
 *
 * An option that the followed command line has and torpor doesn't support yet has a row with
 * set_refused: it stops the run only where it would have meant something, and only if its last
 * occurrence doesn't say "off". A value that isn't supported is refused by its setter alike.
 */
#include "cli/options.h"

#include "base/auto.h"
#include "base/parse.h"
#include "base/vec.h"
#include "file/policy.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static void *field(struct option_parser *p, const struct option_row *row)
{
	return (char *)p->o + row->offset;
}

static int set_bool(struct option_parser *p, const struct option_row *row, const char *value,
		    bool on, struct err *err)
{
	*(bool *)field(p, row) = on;
	return 0;
}

static int set_string(struct option_parser *p, const struct option_row *row, const char *value,
		      bool on, struct err *err)
{
	*(const char **)field(p, row) = arena_str(p->arena, value);
	return 0;
}

static int add_string(struct option_parser *p, const struct option_row *row, const char *value,
		      bool on, struct err *err)
{
	struct str_list *list = field(p, row);

	*vec_push(list) = arena_str(p->arena, value);
	return 0;
}

static int set_refused(struct option_parser *p, const struct option_row *row, const char *value,
		       bool on, struct err *err)
{
	return on ? OPTION_REFUSED : 0;
}

/* Has no effect, and none is missed: the row's comment says why. */
static int set_nothing(struct option_parser *p, const struct option_row *row, const char *value,
		       bool on, struct err *err)
{
	return 0;
}

bool option_is_refused(const struct option_row *row)
{
	return row->set == set_refused;
}

static int set_pid(struct option_parser *p, const struct option_row *row, const char *value,
		   bool on, struct err *err)
{
	int pid;

	if (parse_pid(value, &pid) < 0)
		return err_input(err, "'%s' is not the number of a process", value);
	p->o->pid = pid;
	return 0;
}

/*
 * -v: one more. -vvv: as many as letters. -vN: N; what isn't a number counts as 0, because
 * existing callers write "-verbosity=0" with a single dash.
 */
static int set_verbosity(struct option_parser *p, const struct option_row *row, const char *value,
			 bool on, struct err *err)
{
	uint64_t n = 0;

	if (!value) {
		p->o->verbosity++;
	} else if (value[0] && strspn(value, "v") == strlen(value)) {
		p->o->verbosity += 1 + (int)strlen(value);
	} else {
		if (!scan_u64(&value, 10, &n))
			n = 0;
		p->o->verbosity = (int)MIN(n, 4u);
	}
	p->o->verbosity = MIN(p->o->verbosity, 4);
	return 0;
}

static int set_log_format(struct option_parser *p, const struct option_row *row, const char *value,
			  bool on, struct err *err)
{
	if (strcmp(value, "auto") == 0)
		p->o->log_format = LOG_FORMAT_AUTO;
	else if (strcmp(value, "text") == 0)
		p->o->log_format = LOG_FORMAT_TEXT;
	else if (strcmp(value, "binary") == 0)
		p->o->log_format = LOG_FORMAT_BINARY;
	else
		return err_input(err, "'%s' is none of auto, text, binary", value);
	return 0;
}

static int set_fd(struct option_parser *p, const struct option_row *row, const char *value, bool on,
		  struct err *err)
{
	uint64_t n;

	if (parse_u64(value, 10, &n) < 0 || n > INT32_MAX)
		return err_input(err, "'%s' is not the number of a descriptor", value);
	*(int *)field(p, row) = (int)n;
	return 0;
}

static int close_fd(struct option_parser *p, const struct option_row *row, const char *value,
		    bool on, struct err *err)
{
	uint64_t n;

	if (parse_u64(value, 10, &n) < 0 || n > INT32_MAX)
		return err_input(err, "'%s' is not the number of a descriptor", value);
	if (close((int)n) < 0)
		return err_sys(err, -errno, "close descriptor %d", (int)n);
	return 0;
}

static int set_seconds(struct option_parser *p, const struct option_row *row, const char *value,
		       bool on, struct err *err)
{
	uint64_t n;

	/* The limit keeps a deadline in milliseconds within an int. */
	if (parse_u64(value, 10, &n) < 0 || n > INT32_MAX / 1000)
		return err_input(err, "'%s' is not a number of seconds", value);
	*(unsigned int *)field(p, row) = (unsigned int)n;
	return 0;
}

static int parse_size(const char *value, uint64_t *ret, struct err *err)
{
	static const char units[] = "KMG";
	const char *rest = value;
	const char *unit = NULL;
	uint64_t n;

	if (scan_u64(&rest, 10, &n)) {
		if (*rest)
			unit = strchr(units, *rest++);
		if (unit && !*rest && n <= UINT64_MAX >> (10 * (unit - units + 1))) {
			*ret = n << 10 * (unit - units + 1);
			return 0;
		}
		if (rest[0] == '\0' && !unit && strspn(value, "0123456789") == strlen(value)) {
			*ret = n;
			return 0;
		}
	}
	return err_input(err, "'%s' is not a size (a number, perhaps with K, M or G)", value);
}

static int set_size(struct option_parser *p, const struct option_row *row, const char *value,
		    bool on, struct err *err)
{
	return parse_size(value, field(p, row), err);
}

static bool is_sum_part(const char *name, unsigned int *ret)
{
	static const struct {
		const char *name;
		enum sum_part part;
	} known[] = {
		{"full", SUM_FULL},
		{"first", SUM_FIRST},
		{"every", SUM_EVERY},
		{"period", SUM_EVERY}, /* as another engine has been going to call it */
	};

	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		if (strcmp(name, known[i].name) == 0) {
			*ret = known[i].part;
			return true;
		}
	}
	return false;
}

static int set_validation(struct option_parser *p, const struct option_row *row, const char *value,
			  bool on, struct err *err)
{
	const char *part;

	if (strcmp(value, "filesize") == 0) {
		p->o->file_validation = VALIDATE_FILESIZE;
	} else if (strcmp(value, "buildid") == 0) {
		p->o->file_validation = VALIDATE_BUILDID;
	} else if (strcmp(value, "chksm") == 0) {
		p->o->file_validation = VALIDATE_CHECKSUM;
	} else {
		part = str_after(value, "chksm-");
		if (!part || !is_sum_part(part, &p->o->chksm_config))
			return err_input(err,
					 "'%s' is none of filesize, buildid, chksm, chksm-full, "
					 "chksm-first, chksm-every",
					 value);
		p->o->file_validation = VALIDATE_CHECKSUM;
	}
	return 0;
}

static int set_chksm_config(struct option_parser *p, const struct option_row *row,
			    const char *value, bool on, struct err *err)
{
	if (!is_sum_part(value, &p->o->chksm_config))
		return err_input(err, "'%s' is none of full, first, every", value);
	return 0;
}

static int set_chksm_parameter(struct option_parser *p, const struct option_row *row,
			       const char *value, bool on, struct err *err)
{
	uint64_t n;

	TRY(parse_size(value, &n, err));
	if (!n || n > UINT32_MAX)
		return err_input(err, "'%s' isn't between 1 and 4G - 1", value);
	p->o->chksm_parameter = (unsigned int)n;
	return 0;
}

/* Parsed again by the engine, but this is where mistakes are to show. */
static int add_policy(struct option_parser *p, const struct option_row *row, const char *value,
		      bool on, struct err *err)
{
	struct policies once = {0};
	int r = policies_add_word(&once, value, p->arena, err);

	policies_done(&once);
	return r < 0 ? r : add_string(p, row, value, on, err);
}

/* Stays what it is when the work directory becomes the current one. */
static int set_path(struct option_parser *p, const struct option_row *row, const char *value,
		    bool on, struct err *err)
{
	auto_free char *cwd = NULL;

	if (value[0] == '/')
		return set_string(p, row, value, on, err);
	cwd = getcwd(NULL, 0);
	if (!cwd)
		return err_sys(err, -errno, "current directory");
	return set_string(p, row, arena_printf(p->arena, "%s/%s", cwd, value), on, err);
}

static int set_cgroups(struct option_parser *p, const struct option_row *row, const char *value,
		       bool on, struct err *err)
{
	static const char *const known[] = {"props", "soft", "full", "strict"};

	if (!value)
		return OPTION_REFUSED; /* means soft */
	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		if (strcmp(value, known[i]) == 0)
			return OPTION_REFUSED;
	}
	if (strcmp(value, "none") == 0)
		p->o->manage_cgroups = CGROUP_NONE;
	else if (strcmp(value, "ignore") == 0)
		p->o->manage_cgroups = CGROUP_IGNORE;
	else
		return err_input(err, "'%s' is none of none, ignore, props, soft, full, strict",
				 value);
	return 0;
}

static int set_network_lock(struct option_parser *p, const struct option_row *row,
			    const char *value, bool on, struct err *err)
{
	if (strcmp(value, "iptables") == 0 || strcmp(value, "nftables") == 0)
		return OPTION_REFUSED;
	if (strcmp(value, "skip") != 0 && strcmp(value, "none") != 0)
		return err_input(err, "'%s' is none of skip, none, iptables, nftables", value);
	p->o->network_lock = NETWORK_LOCK_SKIP;
	return 0;
}

/* There is one engine, which reads from outside and needs no pipes: both names mean it. */
static int set_pre_dump_mode(struct option_parser *p, const struct option_row *row,
			     const char *value, bool on, struct err *err)
{
	if (strcmp(value, "read") != 0 && strcmp(value, "splice") != 0)
		return err_input(err, "'%s' is neither read nor splice", value);
	return 0;
}

static int set_compat(struct option_parser *p, const struct option_row *row, const char *value,
		      bool on, struct err *err)
{
	if (strcmp(value, "criu") != 0)
		return err_input(err, "'%s' isn't criu", value);
	p->o->compat_images = true;
	return 0;
}

static int set_tracker(struct option_parser *p, const struct option_row *row, const char *value,
		       bool on, struct err *err)
{
	if (strcmp(value, "auto") == 0)
		p->o->tracker = TRACK_BY_AUTO;
	else if (strcmp(value, "uffd-wp") == 0)
		p->o->tracker = TRACK_BY_UFFD_WP;
	else if (strcmp(value, "soft-dirty") == 0)
		p->o->tracker = TRACK_BY_SOFT_DIRTY;
	else
		return err_input(err, "'%s' is none of auto, uffd-wp, soft-dirty", value);
	return 0;
}

static int set_cpu_cap(struct option_parser *p, const struct option_row *row, const char *value,
		       bool on, struct err *err)
{
	return value && strcmp(value, "none") == 0 ? 0 : OPTION_REFUSED;
}

static int set_all(struct option_parser *p, const struct option_row *row, const char *value,
		   bool on, struct err *err)
{
	p->o->check_extra = on;
	p->o->check_experimental = on;
	return 0;
}

static int refuse_ms(struct option_parser *p, const struct option_row *row, const char *value,
		     bool on, struct err *err)
{
	return err_input(err, "this option doesn't exist any more");
}

static int ask_version(struct option_parser *p, const struct option_row *row, const char *value,
		       bool on, struct err *err)
{
	p->version_asked = true;
	return 0;
}

/* A setter for a field of another type than the row's doesn't compile. */
#define AT(type, name)                                                                             \
	.offset = offsetof(struct options, name) +                                                 \
		  0 * sizeof(char[__builtin_types_compatible_p(                                    \
					  __typeof__(((struct options *)0)->name), type)           \
					  ? 1                                                      \
					  : -1])
#define FLAG(name)    .negatable = true, .set = set_bool, AT(bool, name)
#define SWITCH(name)  .set = set_bool, AT(bool, name) /* without a --no- form */
#define STRING(name)  .set = set_string, AT(const char *, name)
#define STRINGS(name) .set = add_string, AT(struct str_list, name)
#define REFUSED	      .set = set_refused
#define REFUSED_FLAG  .negatable = true, .set = set_refused

#define D   VERB_BIT(VERB_DUMP)
#define P   VERB_BIT(VERB_PRE_DUMP)
#define R   VERB_BIT(VERB_RESTORE)
#define L   VERB_BIT(VERB_LAZY_PAGES)
#define S   VERB_BIT(VERB_PAGE_SERVER)
#define V   VERB_BIT(VERB_SERVICE)
#define C   VERB_BIT(VERB_CHECK)
#define U   VERB_BIT(VERB_DEDUP)
#define I   VERB_BIT(VERB_CPUINFO)
#define ALL (D | P | R | L | S | V | C | U | I)

const char *const option_group_names[GROUP_MAX] = {
	[GROUP_GENERAL] = "General", [GROUP_TASKS] = "Processes",
	[GROUP_MEMORY] = "Memory",   [GROUP_FILES] = "Files, sockets, namespaces, cgroups",
	[GROUP_CHECK] = "Check",
};

/* clang-format off */
#define ROW(n, l, a, g, v, ...) {.name = n, .letter = l, .arg = a, .group = g, .verbs = v, __VA_ARGS__}
const struct option_row option_table[] = {
	ROW("tree", 't', "PID", GROUP_GENERAL, D | P | C, .set = set_pid,
	    .help = "root of the process tree to dump, or to check for obstacles"),
	ROW("images-dir", 'D', "DIR", GROUP_GENERAL, ALL & ~V, STRING(images_dir),
	    .help = "directory of the image files (default: the current one)"),
	ROW("work-dir", 'W', "DIR", GROUP_GENERAL, ALL, STRING(work_dir),
	    .help = "directory of log, pidfile and statistics (default: the images')"),
	ROW("log-file", 'o', "FILE", GROUP_GENERAL, ALL, STRING(log_file),
	    .help = "log to FILE in the work directory; -: to stdout (default: to stderr)"),
	ROW("log-format", 0, "HOW", GROUP_GENERAL, ALL, .set = set_log_format,
	    .help = "text, binary (FILE.bin), or auto (default): at -v4 FILE.bin has everything"),
	ROW("verbosity", 'v', "[NUM]", GROUP_GENERAL, ALL, .set = set_verbosity,
	    .help = "0 nothing, 1 errors, 2 warnings too (default), 3 info too, 4 debug too"),
	ROW("pidfile", 0, "FILE", GROUP_GENERAL, R | S | L | V, STRING(pidfile),
	    .help = "write the restored root's pid to FILE, which must not exist"),
	ROW("display-stats", 0, NULL, GROUP_GENERAL, D | P | R, FLAG(display_stats),
	    .help = "print statistics when all is done"),
	ROW("restore-detached", 'd', NULL, GROUP_GENERAL, R | S | L | V, FLAG(detached),
	    .help = "don't wait for the restored tree to end"),
	ROW("daemon", 0, NULL, GROUP_GENERAL, R | S | L | V, FLAG(detached),
	    .help = "the same as --restore-detached"),
	ROW("action-script", 0, "PATH", GROUP_GENERAL, D | R | S | L | V, STRINGS(scripts),
	    .help = "program to run at each step; repeatable, the last one runs first"),
	ROW("timeout", 0, "SEC", GROUP_GENERAL, D | P, .set = set_seconds, AT(unsigned int, timeout_s),
	    .help = "limit for freezing the tree (default: 10); 0: none"),
	/* Only servers say when they are ready: a dump without --lazy-pages never writes to it. */
	ROW("status-fd", 0, "FD", GROUP_GENERAL, S | L | V | D, .set = set_fd, AT(int, status_fd),
	    .help = "where a server says that it is ready; a dump or restore serves nobody"),
	ROW("close", 0, "FD", GROUP_GENERAL, ALL, .set = close_fd,
	    .help = "close this descriptor at once"),
	/* These two are looked for before parsing (config.c), here they only take their value. */
	ROW("config", 0, "FILE", GROUP_GENERAL, ALL, .set = set_nothing,
	    .help = "read options from FILE, and not from the default files"),
	ROW("no-default-config", 0, NULL, GROUP_GENERAL, ALL, .set = set_nothing,
	    .help = "don't read the default configuration files"),
	ROW("unprivileged", 0, NULL, GROUP_GENERAL, ALL, FLAG(unprivileged),
	    .help = "needed when not run by root"),
	ROW("deprecated", 0, NULL, GROUP_GENERAL, ALL, FLAG(deprecated),
	    .help = "turn deprecated behaviour on (there is none)"),
	ROW("help", 'h', NULL, GROUP_GENERAL, ALL, .set = set_nothing,
	    .help = "this text; after a command: about that command"),
	ROW("version", 'V', NULL, GROUP_GENERAL, ALL, .set = ask_version,
	    .help = "the version of the contracts that are followed, and torpor's own"),
	ROW("log-pid", 0, NULL, GROUP_GENERAL, R, REFUSED_FLAG,
	    .help = "restored tasks don't log; use -v4, one log has all of them"),
	ROW("libdir", 'L', "DIR", GROUP_GENERAL, D | P | R, REFUSED,
	    .help = "plugins aren't loaded; leave the option out if the tree needs none"),
	ROW("stream", 0, NULL, GROUP_GENERAL, D | P | R | I, REFUSED_FLAG,
	    .help = "give a directory with --images-dir"),

	ROW("leave-running", 'R', NULL, GROUP_TASKS, D, SWITCH(leave_running),
	    .help = "let the tree go on after the dump"),
	ROW("leave-stopped", 's', NULL, GROUP_TASKS, D | R, SWITCH(leave_stopped),
	    .help = "leave the tree stopped afterwards"),
	ROW("restore-sibling", 'S', NULL, GROUP_TASKS, R, FLAG(restore_sibling),
	    .help = "make the root a child of torpor's parent; needs --restore-detached"),
	ROW("exec-cmd", 0, NULL, GROUP_TASKS, R, SWITCH(exec_cmd),
	    .help = "when restored, become the command after --, as the tree's parent"),
	ROW("shell-job", 'j', NULL, GROUP_TASKS, D | R | C, FLAG(shell_job),
	    .help = "the root isn't a session leader; restore into torpor's own session and terminal"),
	ROW("freeze-cgroup", 0, "DIR", GROUP_TASKS, D | P, STRING(freeze_cgroup),
	    .help = "stop the tree with this freezer cgroup (v1 or v2)"),
	ROW("dry-run", 0, NULL, GROUP_TASKS, R, FLAG(dry_run),
	    .help = "check the images against this machine and print the plan; change nothing"),
	ROW("cpu-cap", 0, "[LIST]", GROUP_TASKS, D | R | I, .set = set_cpu_cap,
	    .help = "only none is supported: restore on a machine with the same CPU features"),
	ROW("root", 'r', "DIR", GROUP_TASKS, D | R, REFUSED,
	    .help = "dump a tree that shares torpor's mount namespace"),
	ROW("lsm-profile", 0, "TYPE:NAME", GROUP_TASKS, R, REFUSED,
	    .help = "run torpor under the profile that the tree shall have"),
	ROW("lsm-mount-context", 0, "CONTEXT", GROUP_TASKS, R, REFUSED,
	    .help = "dump a tree that shares torpor's mount namespace"),
	ROW("allow-uprobes", 0, NULL, GROUP_TASKS, D | R, REFUSED_FLAG,
	    .help = "detach the uprobes from the tree first"),

	ROW("ghost-limit", 0, "SIZE", GROUP_MEMORY, D | C, .set = set_size, AT(uint64_t, ghost_limit),
	    .help = "refuse deleted files bigger than SIZE[K|M|G] (default: no limit)"),
	/* Holes are found by SEEK_DATA, which gives the same file either way. */
	ROW("ghost-fiemap", 0, NULL, GROUP_MEMORY, D, .negatable = true, .set = set_nothing,
	    .help = "accepted: holes of deleted files are always kept"),
	ROW("track-mem", 0, NULL, GROUP_MEMORY, D | P | R, FLAG(track_mem),
	    .help = "note what is written from now on, so that the next dump can be incremental"),
	ROW("tracker", 0, "HOW", GROUP_MEMORY, D | P | R, .set = set_tracker, AT(enum tracker_wish, tracker),
	    .help = "how written pages are told: auto (default), uffd-wp, soft-dirty"),
	ROW("prev-images-dir", 0, "DIR", GROUP_MEMORY, D | P | S, STRING(prev_images_dir),
	    .help = "images of the last pre-dump or dump, relative to the images directory"),
	ROW("no-verify", 0, NULL, GROUP_MEMORY, R, SWITCH(no_verify),
	    .help = "don't compare the images with their checksums"),
	ROW("auto-dedup", 0, NULL, GROUP_MEMORY, D | P | R | S | L, FLAG(auto_dedup),
	    .help = "dump: do what dedup does; restore: give back the space of all pages"),
	ROW("pre-dump-mode", 0, "MODE", GROUP_MEMORY, P, .set = set_pre_dump_mode,
	    .help = "read or splice: accepted, there is one way and it stops nobody"),
	ROW("image-compat", 0, "WHOSE", GROUP_MEMORY, D | P, .set = set_compat, AT(bool, compat_images),
	    .help = "criu: write nothing that CRIU couldn't read"),
	ROW("page-server", 0, NULL, GROUP_MEMORY, D | P | L, REFUSED_FLAG,
	    .help = "dump to a directory and copy it"),
	ROW("lazy-pages", 0, NULL, GROUP_MEMORY, D | P | R | S, REFUSED,
	    .help = "restore with all memory"),
	ROW("address", 0, "ADDR", GROUP_MEMORY, S | D | P | L | V, REFUSED,
	    .help = "dump to a directory and copy it"),
	ROW("port", 0, "PORT", GROUP_MEMORY, S | D | P | L, REFUSED,
	    .help = "dump to a directory and copy it"),
	ROW("ps-socket", 0, "FD", GROUP_MEMORY, S | D | P | L, REFUSED,
	    .help = "dump to a directory and copy it"),
	ROW("tls", 0, NULL, GROUP_MEMORY, S | D | P | L, REFUSED_FLAG,
	    .help = "dump to a directory and copy it"),
	ROW("tls-cacert", 0, "FILE", GROUP_MEMORY, S | D | P | L, REFUSED,
	    .help = "dump to a directory and copy it"),
	ROW("tls-cacrl", 0, "FILE", GROUP_MEMORY, S | D | P | L, REFUSED,
	    .help = "dump to a directory and copy it"),
	ROW("tls-cert", 0, "FILE", GROUP_MEMORY, S | D | P | L, REFUSED,
	    .help = "dump to a directory and copy it"),
	ROW("tls-key", 0, "FILE", GROUP_MEMORY, S | D | P | L, REFUSED,
	    .help = "dump to a directory and copy it"),
	ROW("tls-no-cn-verify", 0, NULL, GROUP_MEMORY, S | D | P | L, REFUSED_FLAG,
	    .help = "dump to a directory and copy it"),

	ROW("link-remap", 0, NULL, GROUP_FILES, D | C, FLAG(link_remap),
	    .help = "give a deleted file that has other links a temporary name beside them"),
	ROW("evasive-devices", 0, NULL, GROUP_FILES, D | R | C, FLAG(evasive_devices),
	    .help = "open a device by any path that has its number"),
	ROW("skip-file-rwx-check", 0, NULL, GROUP_FILES, R, FLAG(skip_file_rwx_check),
	    .help = "don't compare the permission bits of files with the image"),
	ROW("file-validation", 0, "HOW", GROUP_FILES, D | R, .set = set_validation,
	    .help = "how to see that a file isn't the same any more: filesize, buildid (default), "
		    "chksm-full, chksm-first, chksm-every"),
	ROW("chksm-config", 0, "PART", GROUP_FILES, D, .set = set_chksm_config,
	    .help = "what of a file is summed: full, first (default) or every, see --chksm-parameter"),
	ROW("chksm-parameter", 0, "N", GROUP_FILES, D, .set = set_chksm_parameter,
	    .help = "the first N bytes are summed, or every Nth one (default: 1024)"),
	ROW("file-policy", 0, "PATTERN=POLICY", GROUP_FILES, D | R, .set = add_policy, AT(struct str_list, file_policies),
	    .help = "what may become of files: exact, append-ok, truncate-back, ignore; repeatable"),
	ROW("file-policy-file", 0, "FILE", GROUP_FILES, D | R, .set = set_path, AT(const char *, file_policy_file),
	    .help = "read such rules from FILE, lines of POLICY PATTERN; a dump passes them on"),
	ROW("embed-mapped-files", 0, NULL, GROUP_FILES, D, FLAG(embed_mapped_files),
	    .help = "put mapped files into the images, for the case that they change"),
	/* Sockets that would have to be locked aren't dumped yet: there is nothing to lock. */
	ROW("network-lock", 0, "HOW", GROUP_FILES, D, .set = set_network_lock,
	    .help = "only skip and none are supported: there is nothing to lock"),
	ROW("manage-cgroups", 0, "[MODE]", GROUP_FILES, D | R, .set = set_cgroups,
	    .help = "only none and ignore are supported: tasks come back in torpor's own cgroup"),
	ROW("ext-unix-sk", 'x', "[INO,...]", GROUP_FILES, D | R, REFUSED,
	    .help = "close the tree's unix sockets first"),
	ROW("tcp-established", 0, NULL, GROUP_FILES, D | R, REFUSED_FLAG,
	    .help = "close the tree's TCP connections first"),
	ROW("tcp-close", 0, NULL, GROUP_FILES, D | R, REFUSED_FLAG,
	    .help = "close the tree's TCP connections first"),
	ROW("skip-in-flight", 0, NULL, GROUP_FILES, D, REFUSED_FLAG,
	    .help = "close the tree's TCP connections first"),
	ROW("file-locks", 'l', NULL, GROUP_FILES, D | R, REFUSED_FLAG,
	    .help = "let the tree give up its file locks first"),
	ROW("force-irmap", 0, NULL, GROUP_FILES, D | P, REFUSED_FLAG,
	    .help = "let the tree close its inotify and fanotify descriptors first"),
	ROW("irmap-scan-path", 0, "PATH", GROUP_FILES, D | P, REFUSED,
	    .help = "let the tree close its inotify and fanotify descriptors first"),
	ROW("external", 0, "RES", GROUP_FILES, D | R, REFUSED,
	    .help = "let the tree close what comes from outside first"),
	ROW("inherit-fd", 0, "fd[N]:RES", GROUP_FILES, R, REFUSED,
	    .help = "restore with the files that the tree had"),
	ROW("veth-pair", 0, "IN=OUT", GROUP_FILES, R, REFUSED,
	    .help = "dump a tree that shares torpor's network namespace"),
	ROW("ext-mount-map", 'M', "KEY:VAL", GROUP_FILES, D | R, REFUSED,
	    .help = "dump a tree that shares torpor's mount namespace"),
	ROW("enable-external-sharing", 0, NULL, GROUP_FILES, D, REFUSED,
	    .help = "dump a tree that shares torpor's mount namespace"),
	ROW("enable-external-masters", 0, NULL, GROUP_FILES, D, REFUSED,
	    .help = "dump a tree that shares torpor's mount namespace"),
	ROW("skip-mnt", 0, "PATH", GROUP_FILES, D, REFUSED,
	    .help = "dump a tree that shares torpor's mount namespace"),
	ROW("enable-fs", 0, "LIST", GROUP_FILES, D | R, REFUSED,
	    .help = "dump a tree that shares torpor's mount namespace"),
	ROW("empty-ns", 0, "NS", GROUP_FILES, D | R, REFUSED,
	    .help = "dump a tree that shares torpor's namespaces"),
	ROW("join-ns", 'J', "NS:WHERE", GROUP_FILES, R, REFUSED,
	    .help = "start torpor itself in these namespaces, with nsenter"),
	ROW("mntns-compat-mode", 0, NULL, GROUP_FILES, R, REFUSED_FLAG,
	    .help = "dump a tree that shares torpor's mount namespace"),
	ROW("weak-sysctls", 0, NULL, GROUP_FILES, R, REFUSED_FLAG,
	    .help = "dump a tree that shares torpor's namespaces"),
	ROW("cgroup-root", 0, "[CTRL:]PATH", GROUP_FILES, D | R, REFUSED,
	    .help = "start torpor itself in the cgroup that the tree shall have"),
	ROW("cgroup-props", 0, "TEXT", GROUP_FILES, D, REFUSED,
	    .help = "set up the cgroup before the restore"),
	ROW("cgroup-props-file", 0, "FILE", GROUP_FILES, D, REFUSED,
	    .help = "set up the cgroup before the restore"),
	ROW("cgroup-dump-controller", 0, "NAME", GROUP_FILES, D, REFUSED,
	    .help = "set up the cgroup before the restore"),
	ROW("cgroup-yard", 0, "DIR", GROUP_FILES, D | R, REFUSED,
	    .help = "start torpor itself in the cgroup that the tree shall have"),

	ROW("feature", 0, "NAME", GROUP_CHECK, C, STRING(feature),
	    .help = "check for this kernel feature alone"),
	ROW("extra", 0, NULL, GROUP_CHECK, C, FLAG(check_extra),
	    .help = "check for features that not every dump needs, too"),
	ROW("experimental", 0, NULL, GROUP_CHECK, C, FLAG(check_experimental),
	    .help = "check for experimental features, too"),
	ROW("all", 0, NULL, GROUP_CHECK, C, .negatable = true, .set = set_all,
	    .help = "both --extra and --experimental"),
	ROW("ms", 0, NULL, GROUP_CHECK, C, .set = refuse_ms, .help = "removed"),
};
/* clang-format on */
const size_t option_table_len = ARRAY_SIZE(option_table);
