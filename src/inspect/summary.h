/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside inspect/: what the files summary*.c share while they describe one directory of images.
 * Whatever can't be read becomes a line of "problems", and the rest is described all the same.
 */
#pragma once

#include "inspect/checkpoint.h"
#include "inspect/json.h"

struct summary {
	struct torpor_checkpoint *cp; /* NULL: only the directory itself could be read */
	json_t *out;
	json_t *problems; /* array of texts, belongs to out */
	/* Of the options that a restore will need: name to reason; belongs to out. */
	json_t *options;
	struct map exes;	/* file ids of executables, to the number of their processes */
	struct map file_users;	/* file ids to the number of descriptors that lead to them */
	struct map shmem_bytes; /* shmids whose pages were counted, to their bytes */
	struct arena *scratch;	/* of all records that no checkpoint keeps */
};

/* One more problem. Forgets the error. */
void summary_problem(struct summary *s, struct err *err);
/* The restore will need this option, because of that. The first reason stays. */
void summary_option(struct summary *s, const char *option, const char *why);
/* "processes", "totals": tree, commands, users, memory. */
void summary_tasks(struct summary *s);
/* Into a process's object: "memory". Adds to `totals`. */
void summary_task_memory(struct summary *s, struct checkpoint_task *t, json_t *process,
			 json_t *totals);
/* Bytes at this address, as far as the images have them; how many those are. */
size_t summary_read(struct summary *s, uint32_t pid, uint64_t at, void *buf, size_t len);
/* "files": descriptors and what they lead to, by kind; the ones with a story by name. */
void summary_files(struct summary *s);
/* "needs": what a restore will look for outside of the images. */
void summary_needs(struct summary *s);
/* "images": sizes by kind. */
void summary_images(struct summary *s, int dirfd);
