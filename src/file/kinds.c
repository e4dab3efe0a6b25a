/* SPDX-License-Identifier: Apache-2.0 */
/* The table of kinds. Order: what is told apart by its type first, what is told by name last. */
#include "file/kind.h"

#include "base/auto.h"

/* clang-format off */
const struct file_kind *const file_kinds[] = {
	&socket_kind,	/* refuses */
	&pipe_kind,	/* before fifo: both are S_IFIFO */
	&fifo_kind,
	&tty_kind,	/* before reg: terminals are character devices */
	&memfd_kind,	/* before reg: regular files without a name */
	&eventfd_kind,
	&reg_kind,
	&unknown_kind,	/* refuses the rest by name */
};
/* clang-format on */
const size_t file_nkinds = ARRAY_SIZE(file_kinds);

const struct file_kind *file_kind_of_type(FdTypes type)
{
	for (size_t i = 0; i < file_nkinds; i++)
		if (type != FD_TYPES__UND && file_kinds[i]->type == type)
			return file_kinds[i];
	return NULL;
}

const struct file_kind *file_kind_match(struct files *f, const struct fdesc *d)
{
	size_t i = 0;

	while (!file_kinds[i]->match(f, d))
		i++;
	return file_kinds[i];
}
