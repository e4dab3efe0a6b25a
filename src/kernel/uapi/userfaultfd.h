/* SPDX-License-Identifier: Apache-2.0 */
/* userfaultfd constants newer than Linux 6.1, as linux/userfaultfd.h names them. */
#pragma once

#include <linux/userfaultfd.h>

#ifndef UFFD_FEATURE_WP_UNPOPULATED
#define UFFD_FEATURE_WP_UNPOPULATED (1 << 13) /* 6.4 */
#endif
#ifndef UFFD_FEATURE_WP_ASYNC
#define UFFD_FEATURE_WP_ASYNC (1 << 15) /* 6.7 */
#endif
