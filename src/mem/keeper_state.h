/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a keeper says about itself: a sealed memfd at a fixed descriptor number. The process does
 * nothing but hold it, so this is all that two versions of torpor have to agree about.
 */
#pragma once

#include <stdint.h>

#define KEEPER_COMM	"torpor-keeper"
#define KEEPER_STATE_FD 3
#define KEEPER_MAGIC	UINT64_C(0x7065656b2d707274) /* "trp-keep" */
#define KEEPER_VERSION	1
#define KEEPER_SEALS	(F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)
#define KEEPER_TASKS	(1u << 20) /* more than any system has processes by default */

struct keeper_task {
	int32_t pid;
	int32_t fd; /* of the keeper; -1: the tracker has none */
	uint64_t start_time;
};

struct keeper_state {
	uint64_t magic;
	uint32_t version;
	uint32_t kind;	  /* enum tracker_kind */
	uint64_t pid_ns;  /* inode of the pid namespace whose pids these are */
	uint64_t born_ns; /* CLOCK_BOOTTIME: of several, the newest counts */
	char run_id[40];
	int32_t root;
	uint32_t ntasks;
	char root_comm[16];
	struct keeper_task tasks[];
};
_Static_assert(sizeof(struct keeper_state) == 96, "as another torpor reads it");

/* The inode of our pid namespace; 0: unknown. */
uint64_t keeper_pid_ns(void);
