/* SPDX-License-Identifier: Apache-2.0 */
/* Inside inspect/: what the files diff*.c share while they compare two checkpoints. */
#pragma once

#include "inspect/checkpoint.h"
#include "inspect/json.h"

struct diff {
	struct torpor_checkpoint *cp[2];
	json_t *out;
	json_t *problems; /* belongs to out */
	struct arena *scratch;
	uint64_t differences;  /* all kinds */
	struct map files_seen; /* pairs of file ids that were compared */
};

/* One more problem: what it hides isn't compared. Forgets the error. */
void diff_problem(struct diff *d, size_t side, struct err *err);
/* The array out[key]. */
json_t *diff_list(struct diff *d, const char *key);
/* Appends to it, and counts a difference. */
void diff_add(struct diff *d, const char *key, json_t *row);

/* Two records of one type, field by field: fn is told of each that differs, with its path. */
typedef void diff_field_fn(void *arg, const char *path, const char *a, const char *b);
/* `skip`: names of fields, at any depth, that aren't compared; ends with NULL; NULL: none. */
void diff_records(const ProtobufCMessage *a, const ProtobufCMessage *b, const char *const *skip,
		  diff_field_fn *fn, void *arg);
/* The same into out["records"], as of `image`; a field below `noise` (NULL: none) is marked. */
void diff_records_of(struct diff *d, const char *image, const ProtobufCMessage *a,
		     const ProtobufCMessage *b, const char *const *skip, const char *noise);

/* "processes", and "records" of their cores. */
void diff_tasks(struct diff *d);
/* "mappings": of a process that is in both. */
void diff_mappings(struct diff *d, struct checkpoint_task *a, struct checkpoint_task *b);
/* "pages": of a process that is in both, whose mm may be NULL, and of shared objects. */
void diff_task_pages(struct diff *d, uint32_t pid, const MmEntry *mm[2]);
void diff_shared_pages(struct diff *d);
/* "descriptors" and "records" of the files behind them: of a process that is in both. */
void diff_descriptors(struct diff *d, struct checkpoint_task *a, struct checkpoint_task *b);
/* "images": other files, as wholes. */
void diff_images(struct diff *d);
/* What a file is called: a path, or its kind. In the arena. */
const char *diff_file_name(struct diff *d, size_t side, uint32_t id);
