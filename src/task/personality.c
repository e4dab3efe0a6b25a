/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Execution domain (task_struct.personality), read and set by personality(2) of the thread.
 *
 * The image field is odd: it holds the hexadecimal text of /proc/PID/personality read as if it
 * were decimal, up to the first letter. 0x00040000 is 40000 there. CRIU doesn't read it back; we
 * do. Where the text has letters, which that way of writing loses, we store the value itself with
 * bit 31 set, which no text of eight decimal digits gives.
 *
 * It is a property of each thread, but the record has one per process: all threads get it.
 */
#include "task/part.h"

#include "base/log.h"
#include "base/parse.h"
#include "image/schema/core.pb-c.h"
#include "task/personality.h"

#include <stdio.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/syscall.h>

#define PERSONALITY_RAW	  0x80000000U
#define PERSONALITY_FLAGS 0x0ffe0000U /* UNAME26 ... ADDR_LIMIT_3GB */

uint32_t personality_to_image(uint32_t persona)
{
	char text[16];
	uint32_t field;

	snprintf(text, sizeof(text), "%08x", persona);
	return parse_u32(text, 10, &field) == 0 ? field : PERSONALITY_RAW | persona;
}

bool personality_from_image(uint32_t field, uint32_t *ret)
{
	char text[16];
	uint32_t persona;

	if (field & PERSONALITY_RAW) {
		persona = field & ~PERSONALITY_RAW;
	} else {
		snprintf(text, sizeof(text), "%u", field);
		if (parse_u32(text, 16, &persona) < 0)
			return false;
	}
	if (persona & ~(PERSONALITY_FLAGS | PER_MASK))
		return false;
	/* Linux programs are one of these; another number is what a cut-off text left. */
	if ((persona & PER_MASK) != PER_LINUX && (persona & PER_MASK) != PER_LINUX32)
		return false;
	*ret = persona;
	return true;
}

static int personality_ask(struct dthread *d, struct err *err)
{
	if (!d->leader)
		return 0;
	d->asked.personality = batch_call(d->b, SYS_personality, 0xffffffff);
	batch_must(d->b, d->asked.personality);
	return 0;
}

static int personality_take(struct dthread *d, struct err *err)
{
	if (!d->leader)
		return 0;
	d->tc->personality = personality_to_image((uint32_t)batch_ret(d->b, d->asked.personality));
	return 0;
}

static int personality_load(struct rthread *r, const CoreEntry *core, struct err *err)
{
	if (!core->tc)
		return 0;
	if (!personality_from_image(core->tc->personality, &r->rt->priv->personality)) {
		log_warn("pid %u (%s): unclear personality %u in the image, left at 0", r->rt->vpid,
			 r->rt->comm, core->tc->personality);
		r->rt->priv->personality = 0;
	}
	return 0;
}

static int personality_restore(struct rstep *s, struct err *err)
{
	step_call(s, SYS_personality, s->p->personality);
	return 0;
}

const struct task_part personality_part = {
	.name = "personality",
	.ask = personality_ask,
	.take = personality_take,
	.load = personality_load,
	.restore = personality_restore,
};
