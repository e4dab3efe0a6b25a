/* SPDX-License-Identifier: Apache-2.0 */
/* torpor image reseal */
#include "cli/image_words.h"

int image_reseal(const struct image_command *cmd, int argc, char **argv)
{
	const struct image_option options[] = {{0}};
	const char *dir;
	int r = image_words(cmd, argc, argv, options, &dir, 1, 1);
	struct torpor_image *ti;

	if (r != IMAGE_OK)
		return r;
	ti = image_context();
	if (torpor_image_reseal(ti, dir) < 0)
		r = image_failed(cmd, ti);
	torpor_image_free(ti);
	return r;
}
