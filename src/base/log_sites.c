/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log_sites.h"

#include "base/auto.h"
#include "base/log_file.h"
#include "base/log_format.h"

#include <string.h>

static const uint8_t kind_of_step[] = {
	[STEP_INT] = LOG_KIND_INT,	 [STEP_LONG] = LOG_KIND_LONG,
	[STEP_DOUBLE] = LOG_KIND_DOUBLE, [STEP_LDOUBLE] = LOG_KIND_LDOUBLE,
	[STEP_ERRNO] = LOG_KIND_ERRNO,	 [STEP_STR] = LOG_KIND_STR,
	[STEP_STR_ARG] = LOG_KIND_STR,	 [STEP_STR_MAX] = LOG_KIND_STR,
	[STEP_TEXT] = LOG_KIND_TEXT,
};

static uint8_t step_of_kind(uint8_t kind)
{
	for (uint8_t s = STEP_INT; s < STEP_STR; s++)
		if (kind_of_step[s] == kind)
			return s;
	return STEP_STR;
}

/* False: there is no room for more. */
static bool add_step(struct log_site *s, uint8_t step)
{
	if (s->nsteps >= LOG_STEPS_MAX)
		return false;
	s->steps[s->nsteps++] = step;
	return true;
}

static bool add_directive(struct log_site *s, const struct log_directive *d)
{
	uint8_t step = step_of_kind(d->kind);

	if (d->width == LOG_NUMBER_ARG && !add_step(s, STEP_INT))
		return false;
	if (d->precision == LOG_NUMBER_ARG && !add_step(s, STEP_INT))
		return false;
	if (step != STEP_STR || d->precision == LOG_NUMBER_NONE)
		return add_step(s, step);
	if (d->precision == LOG_NUMBER_ARG)
		return add_step(s, STEP_STR_ARG);
	return add_step(s, STEP_STR_MAX) && add_step(s, (uint8_t)(d->precision & 0xff)) &&
	       add_step(s, (uint8_t)(d->precision >> 8));
}

void log_site_prepare(struct log_site *s)
{
	const char *fmt = s->fmt;
	struct log_directive d;
	bool good;

	s->nsteps = 0;
	do {
		good = log_directive_next(&fmt, &d) && (!d.kind || add_directive(s, &d));
	} while (good && d.conv);
	if (good)
		return;
	s->nsteps = 1;
	s->steps[0] = STEP_TEXT;
}

size_t log_site_put(const struct log_site *s, uint8_t *to)
{
	const char *file = log_file_name(s->file);
	struct log_file_site entry = {
		.line = s->line,
		.level = s->level,
		.file_len = (uint16_t)MIN(strlen(file), UINT16_MAX),
		.fmt_len = (uint16_t)MIN(strlen(s->fmt), UINT16_MAX),
	};
	uint8_t kinds[LOG_STEPS_MAX];
	size_t n = sizeof(entry);

	for (uint8_t i = 0; i < s->nsteps; i++) {
		kinds[entry.nkinds++] = kind_of_step[s->steps[i]];
		if (s->steps[i] == STEP_STR_MAX)
			i += 2;
	}
	if (to) {
		memcpy(to, &entry, n);
		memcpy(to + n, kinds, entry.nkinds);
		memcpy(to + n + entry.nkinds, file, entry.file_len);
		memcpy(to + n + entry.nkinds + entry.file_len, s->fmt, entry.fmt_len);
	}
	return n + entry.nkinds + entry.file_len + entry.fmt_len;
}
