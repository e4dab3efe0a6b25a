/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which pages of an address space were written since the last look, by one of two trackers:
 *
 *  uffd-wp	asynchronous userfaultfd write protection and PAGEMAP_SCAN (Linux 6.7). One call of
 *		the target makes the descriptor; all else is done from outside while it runs.
 *  soft-dirty	/proc/PID/clear_refs and bit 55 of pagemap (CONFIG_MEM_SOFT_DIRTY). The target has
 *		to stand still between reading and clearing.
 *
 * Both err on one side only: what they call clean is clean.
 */
#pragma once

#include "base/vec.h"
#include "mem/pagescan.h"
#include "mem/vma.h"
#include "remote/target.h"

enum tracker_kind {
	TRACKER_NONE = 0,
	TRACKER_UFFD_WP,
	TRACKER_SOFT_DIRTY,
};

const char *tracker_name(enum tracker_kind kind); /* "uffd-wp", "soft-dirty", "none" */
/* 0 if it works, by doing it to a page of our own; a negative errno says what failed. */
int tracker_probe(enum tracker_kind kind);
bool tracker_works(enum tracker_kind kind);
/* The best one that works; TRACKER_NONE. */
enum tracker_kind tracker_best(void);
/* How its pages are looked at; protect: a new round begins (soft-dirty: by tracker_restart()). */
enum pagescan_mode tracker_scan_mode(enum tracker_kind kind, bool protect);

struct track_range {
	uint64_t start, end;
};

/* Tracks one address space. */
struct tracker {
	enum tracker_kind kind;
	pid_t pid;
	uint64_t start_time;	       /* field 22 of /proc/PID/stat: with the pid, whose it is */
	int fd;			       /* the userfaultfd; soft-dirty: notes, see track_soft.c */
	bool is_new;		       /* nothing is known yet: all pages count as written */
	VEC(struct track_range) armed; /* soft-dirty: by the last tracker_arm() */
};

/*
 * uffd-wp: makes a userfaultfd in the target (its leader is entered) and takes it away from there.
 * -EMFILE (err set): its table of descriptors is full. Go on without a tracker for it.
 * soft-dirty: nothing happens to the target.
 */
MUST_USE int tracker_attach(struct target *t, enum tracker_kind kind, struct tracker **ret,
			    struct err *err);
void tracker_free(struct tracker *tr); /* accepts NULL; closes: pages are unprotected again */
/*
 * Its address space is gone (the program has called execve() since, or is dead): it tracks nothing
 * any more. The same program can be attached to again.
 */
bool tracker_is_stale(const struct tracker *tr);

/* What is known of a mapping. */
enum track_state {
	TRACK_OFF = 0, /* not tracked: all of it counts as written, each time */
	TRACK_NEW,     /* tracked from now on: all of it counts as written this time */
	TRACK_ON,      /* a scan tells */
};
/* Can it be tracked at all? Its pages are private, and not the kernel's, huge, or droppable. */
bool vma_is_trackable(const struct vma *v);
/*
 * Brings mappings that aren't tracked yet under the tracker and says what holds for each in
 * states[i]. The target may run: a mapping that is gone is TRACK_OFF. Mappings with a userfaultfd
 * of the target's own are TRACK_OFF, with a warning in the log that names them. A scan with
 * PAGESCAN_PROTECT has to leave out those that are TRACK_OFF. soft-dirty: the target stands still
 * from here to tracker_restart().
 */
MUST_USE int tracker_arm(struct tracker *tr, const struct vma *vmas, size_t n, uint8_t *states,
			 struct err *err);
/*
 * soft-dirty only (nothing for uffd-wp, where the scan itself does it page by page): forgets what
 * was written. The target stands still since tracker_arm(), which was told of all its mappings.
 */
MUST_USE int tracker_restart(struct tracker *tr, struct err *err);
