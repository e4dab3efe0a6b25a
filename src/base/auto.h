/* SPDX-License-Identifier: Apache-2.0 */
/* Scope-bound resources: initialise at declaration, hand over with TAKE_FD / TAKE_PTR. */
#pragma once

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define ARRAY_SIZE(a)			(sizeof(a) / sizeof((a)[0]))
#define MIN(a, b)			((a) < (b) ? (a) : (b))
#define MAX(a, b)			((a) > (b) ? (a) : (b))
#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

/* Closes if >= 0, keeps errno, returns -EBADF: `fd = fd_close(fd);` */
static inline int fd_close(int fd)
{
	int saved = errno;

	if (fd >= 0)
		close(fd);
	errno = saved;
	return -EBADF;
}

static inline void auto_close_(int *fd)
{
	fd_close(*fd);
}
static inline void auto_free_(void *p)
{
	free(*(void **)p);
}
static inline void auto_fclose_(FILE **f)
{
	if (*f)
		fclose(*f);
}
static inline void auto_closedir_(DIR **d)
{
	if (*d)
		closedir(*d);
}

#define auto_close    __attribute__((cleanup(auto_close_)))
#define auto_free     __attribute__((cleanup(auto_free_)))
#define auto_fclose   __attribute__((cleanup(auto_fclose_)))
#define auto_closedir __attribute__((cleanup(auto_closedir_)))

/* DEFINE_AUTO(foo, foo_free): `auto_foo struct foo *x = NULL;` frees at the end of the scope. */
#define DEFINE_AUTO(name, free_fn)                                                                 \
	static inline void auto_##name##_(struct name **p)                                         \
	{                                                                                          \
		if (*p)                                                                            \
			free_fn(*p);                                                               \
	}

#define TAKE_FD(fd)                                                                                \
	({                                                                                         \
		int take_fd_ = (fd);                                                               \
		(fd) = -EBADF;                                                                     \
		take_fd_;                                                                          \
	})
#define TAKE_PTR(p)                                                                                \
	({                                                                                         \
		__auto_type take_ptr_ = (p);                                                       \
		(p) = NULL;                                                                        \
		take_ptr_;                                                                         \
	})
