/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The legacy area of the FXSAVE and XSAVE instructions (Intel SDM volume 1, table 10-2; the
 * kernel's struct user_fpregs_struct), and how it is in the record of a thread's registers.
 */
#pragma once

#include "image/schema/core-x86.pb-c.h"

#include <stdbool.h>
#include <stdint.h>

struct fxsave {
	uint16_t cwd, swd, twd, fop;
	uint64_t rip, rdp;
	uint32_t mxcsr, mxcsr_mask;
	uint32_t st[32];
	uint32_t xmm[64];
	uint8_t rest[96];
};
_Static_assert(sizeof(struct fxsave) == 512, "FXSAVE area");

/* False: the record's arrays aren't as long as they must be. */
bool fxsave_from_image(const UserX86FpregsEntry *e, struct fxsave *ret);
