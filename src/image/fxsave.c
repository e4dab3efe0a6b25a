/* SPDX-License-Identifier: Apache-2.0 */
#include "image/fxsave.h"

#include "base/auto.h"

#include <string.h>

bool fxsave_from_image(const UserX86FpregsEntry *e, struct fxsave *ret)
{
	if (e->n_st_space != ARRAY_SIZE(ret->st) || e->n_xmm_space != ARRAY_SIZE(ret->xmm))
		return false;
	*ret = (struct fxsave){
		.cwd = (uint16_t)e->cwd,
		.swd = (uint16_t)e->swd,
		.twd = (uint16_t)e->twd,
		.fop = (uint16_t)e->fop,
		.rip = e->rip,
		.rdp = e->rdp,
		.mxcsr = e->mxcsr,
		.mxcsr_mask = e->mxcsr_mask,
	};
	memcpy(ret->st, e->st_space, sizeof(ret->st));
	memcpy(ret->xmm, e->xmm_space, sizeof(ret->xmm));
	return true;
}
