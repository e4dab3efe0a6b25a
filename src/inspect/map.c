/* SPDX-License-Identifier: Apache-2.0 */
#include "base/auto.h"
#include "base/io.h"
#include "inspect/map_draw.h"

enum { PANELS = 20 };

static const struct {
	enum torpor_map_format format;
	void (*write)(FILE *out, const struct amap_layout *l);
} formats[] = {
	{TORPOR_MAP_SVG, amap_write_svg},
	{TORPOR_MAP_HTML, amap_write_html},
};

static int write_picture(const struct amap_layout *l, int fd, enum torpor_map_format format,
			 struct err *err)
{
	int own = fd_dup_above(fd, 3);
	auto_fclose FILE *out = own < 0 ? NULL : fdopen(own, "w");

	if (!out) {
		fd_close(own);
		return err_sys(err, own < 0 ? own : -errno, "write the picture");
	}
	for (size_t i = 0; i < ARRAY_SIZE(formats); i++)
		if (formats[i].format == format)
			formats[i].write(out, l);
	if (fflush(out) != 0 || ferror(out))
		return err_sys(err, errno ? -errno : -EIO, "write the picture");
	return 0;
}

static int check_options(struct torpor_checkpoint *cp, const struct torpor_map_options *o,
			 enum torpor_map_format format, struct err *err)
{
	if (format != TORPOR_MAP_SVG && format != TORPOR_MAP_HTML)
		return err_input(err, "format %d of a map isn't known", (int)format);
	for (size_t i = 0; o && i < o->npids; i++)
		if (!checkpoint_find(cp, o->pids[i], err))
			return err->code;
	return 0;
}

int torpor_checkpoint_map(struct torpor_checkpoint *cp, int fd, enum torpor_map_format format,
			  const struct torpor_map_options *o)
{
	struct err *err = context_begin(cp->ctx);
	struct amap_layout layout;
	struct amap am;
	int r;

	TRY(check_options(cp, o, format, err));
	amap_collect(cp, &am);
	amap_find_sharing(&am);
	amap_count(&am);
	amap_layout_make(&am, o ? o->pids : NULL, o ? o->npids : 0,
			 o && o->max_processes ? o->max_processes : PANELS, &layout);
	r = write_picture(&layout, fd, format, err);
	if (r == 0 && am.first_error.code) {
		*err = am.first_error;
		r = 1;
	}
	amap_layout_done(&layout);
	amap_done(&am);
	return r;
}
