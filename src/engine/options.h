/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the user asked for. Filled once by the command line, the configuration files, or a
 * request to the service; const from then on. Each field belongs to one row of the option table
 * (cli/option_table.c). Strings live as long as the program's run.
 *
 * Options that torpor doesn't support yet have no field: the table refuses them by name.
 */
#pragma once

#include "image/checksum.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum verb {
	VERB_NONE = 0,
	VERB_DUMP,
	VERB_RESTORE,
	VERB_CHECK,
	VERB_DEDUP,
	VERB_PRE_DUMP,
	/* Known commands that are refused by name: */
	VERB_LAZY_PAGES,
	VERB_PAGE_SERVER,
	VERB_SERVICE,
	VERB_SWRK,
	VERB_CPUINFO,
	/* Gone from the command line that we follow; exit status 255: */
	VERB_EXEC,
	VERB_SHOW,
	VERB_MAX,
};

/* How a file is compared with what the image says: always by size, and by build id or checksum. */
enum file_validation { VALIDATE_BUILDID = 0, VALIDATE_FILESIZE, VALIDATE_CHECKSUM };

/* What is done about cgroups: tasks are restored into torpor's own cgroup in any case. */
enum cgroup_mode { CGROUP_DEFAULT = 0, CGROUP_NONE, CGROUP_IGNORE };

/* What keeps packets from the tree while it is frozen: nothing needs it yet. */
enum network_lock { NETWORK_LOCK_DEFAULT = 0, NETWORK_LOCK_SKIP };

/* Is there a binary log, FILE.bin? AUTO: at -v4, and FILE has no debug lines then. */
enum log_format { LOG_FORMAT_AUTO = 0, LOG_FORMAT_TEXT, LOG_FORMAT_BINARY };

/* How written pages are told from others; AUTO: the best that this machine has. */
enum tracker_wish { TRACK_BY_AUTO = 0, TRACK_BY_UFFD_WP, TRACK_BY_SOFT_DIRTY };

/* Usable with the macros of base/vec.h. */
struct str_list {
	const char **data;
	size_t len, cap;
};

struct options {
	enum verb verb;
	char run_id[37]; /* a uuid for this run: in the log's head and in the inventory */

	/* where */
	pid_t pid;		 /* --tree; 0: not given */
	const char *images_dir;	 /* --images-dir; "." */
	const char *work_dir;	 /* --work-dir; NULL: the images directory */
	const char *log_file;	 /* --log-file; NULL: stderr, "-": stdout */
	int verbosity;		 /* -v; 2, see enum log_level */
	const char *pidfile;	 /* --pidfile; restore writes the root task's pid there */
	int status_fd;		 /* --status-fd; -1: none. Only servers write to it */
	struct str_list scripts; /* --action-script, in order of appearance; run last to first */
	bool unprivileged;
	bool deprecated;
	bool display_stats;
	enum log_format log_format; /* --log-format */

	/* dump */
	bool leave_running;
	bool leave_stopped; /* restore too */
	bool link_remap;
	uint64_t ghost_limit;	   /* bytes; UINT64_MAX: none */
	unsigned int timeout_s;	   /* for freezing and collecting; 0: none */
	const char *freeze_cgroup; /* NULL, or the directory of a freezer cgroup */
	unsigned int chksm_config; /* enum sum_part: what of a file is summed */
	unsigned int chksm_parameter;
	bool embed_mapped_files;

	/* dump, pre-dump; track_mem also restore */
	bool track_mem;
	const char *prev_images_dir; /* relative to images_dir; NULL: none */
	bool auto_dedup;	     /* restore too */
	bool compat_images;	     /* --image-compat=criu: nothing that others couldn't read */
	enum tracker_wish tracker;   /* --tracker */

	/* dump and restore */
	bool shell_job;
	bool evasive_devices;
	enum file_validation file_validation;
	const char *file_policy_file;  /* --file-policy-file; NULL, or absolute */
	struct str_list file_policies; /* --file-policy, PATTERN=POLICY each */
	enum cgroup_mode manage_cgroups;
	enum network_lock network_lock;

	/* restore */
	bool detached;
	bool restore_sibling;
	bool skip_file_rwx_check;
	bool exec_cmd;
	char **exec_argv; /* terminated by NULL; only with exec_cmd */
	bool dry_run;
	bool no_verify; /* checksums aren't compared */

	/* check (with pid set: check --tree) */
	bool check_extra;
	bool check_experimental;
	const char *feature; /* NULL, or the one that is asked for */
};

/* Everything at its default. */
#define OPTIONS_DEFAULT                                                                            \
	((struct options){.images_dir = ".",                                                       \
			  .verbosity = 2,                                                          \
			  .status_fd = -1,                                                         \
			  .ghost_limit = UINT64_MAX,                                               \
			  .timeout_s = 10,                                                         \
			  .chksm_config = SUM_FIRST,                                               \
			  .chksm_parameter = SUM_PARAM_DEFAULT})
