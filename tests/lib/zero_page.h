/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Does reading an untouched page give the kernel's zero page? Some virtual machines' kernels have
 * none for programs (pvm_no_zero_page=1): there each such page is one of its own, full of zeros.
 */
#pragma once

#include "../../src/kernel/uapi/pagemap.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

/* True also where it can't be told (before Linux 6.7). */
static inline bool kernel_has_zero_page(void)
{
	const size_t size = 4096;
	volatile char *p =
		mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	struct page_region region = {0};
	struct pm_scan_arg arg = {
		.size = sizeof(arg),
		.start = (uintptr_t)p,
		.end = (uintptr_t)p + size,
		.vec = (uintptr_t)&region,
		.vec_len = 1,
		.category_mask = PAGE_IS_PRESENT,
		.return_mask = PAGE_IS_PRESENT | PAGE_IS_PFNZERO,
	};
	bool has = true;

	(void)p[0];
	if (fd >= 0 && ioctl(fd, PAGEMAP_SCAN, &arg) == 1)
		has = region.categories & PAGE_IS_PFNZERO;
	close(fd);
	munmap((void *)p, size);
	return has;
}
