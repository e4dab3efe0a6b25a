/* SPDX-License-Identifier: Apache-2.0 */
/* torpor image reseal */
#include "cli/image.h"

int image_reseal(const struct image_command *cmd, int argc, char **argv)
{
	struct torpor_image *ti;
	int status = IMAGE_OK;

	if (argc != 2 || argv[1][0] == '-')
		return image_usage(cmd, "name an images directory");
	ti = image_context();
	if (torpor_image_reseal(ti, argv[1]) < 0)
		status = image_failed(cmd, ti);
	torpor_image_free(ti);
	return status;
}
