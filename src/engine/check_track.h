/* SPDX-License-Identifier: Apache-2.0 */
/* The part of `check` that is about written pages: see mem/track.h and mem/keeper.h. */
#pragma once

/* 0 if there is a tracker that works, or a negative errno. */
int check_tracker(void);
/* To stdout: the tracker that a dump would choose, and the keepers that are running. */
void check_track_show(void);
