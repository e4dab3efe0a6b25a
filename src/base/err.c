/* SPDX-License-Identifier: Apache-2.0 */
#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static void __attribute__((format(printf, 4, 0)))
err_vset(struct err *err, int code, enum err_kind kind, const char *fmt, va_list ap)
{
	if (err->code < 0)
		return; /* the first cause wins */
	err->code = code < 0 ? code : -EFAULT;
	err->kind = kind;
	err->hint[0] = '\0';
	vsnprintf(err->text, sizeof(err->text), fmt, ap);
}

static void err_append(struct err *err, const char *text)
{
	size_t len = strlen(err->text);

	snprintf(err->text + len, sizeof(err->text) - len, ": %s", text);
}

int err_sys(struct err *err, int code, const char *fmt, ...)
{
	bool first = err->code >= 0;
	va_list ap;

	va_start(ap, fmt);
	err_vset(err, code, code == -EPERM ? ERR_PERM : ERR_SYS, fmt, ap);
	va_end(ap);
	if (first)
		err_append(err, strerror(-err->code));
	return err->code;
}

int err_refuse(struct err *err, const char *hint, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	err_vset(err, -ENOTSUP, ERR_REFUSED, fmt, ap);
	va_end(ap);
	return err_hint(err, "%s", hint);
}

#define DEFINE_ERR_MAKER(name, errno_value, kind_value)                                            \
	int name(struct err *err, const char *fmt, ...)                                            \
	{                                                                                          \
		va_list ap;                                                                        \
                                                                                                   \
		va_start(ap, fmt);                                                                 \
		err_vset(err, -(errno_value), kind_value, fmt, ap);                                \
		va_end(ap);                                                                        \
		return err->code;                                                                  \
	}

DEFINE_ERR_MAKER(err_input, EINVAL, ERR_INPUT)
DEFINE_ERR_MAKER(err_gone, ESRCH, ERR_GONE)
DEFINE_ERR_MAKER(err_kernel, EOPNOTSUPP, ERR_KERNEL)
DEFINE_ERR_MAKER(err_bug, EFAULT, ERR_BUG)

int err_in(struct err *err, const char *fmt, ...)
{
	char tail[sizeof(err->text)];
	va_list ap;
	size_t len;

	memcpy(tail, err->text, sizeof(tail));
	va_start(ap, fmt);
	vsnprintf(err->text, sizeof(err->text), fmt, ap);
	va_end(ap);
	len = strlen(err->text);
	snprintf(err->text + len, sizeof(err->text) - len, ": %s", tail);
	return err->code;
}

int err_hint(struct err *err, const char *fmt, ...)
{
	va_list ap;

	if (err->hint[0])
		return err->code;
	va_start(ap, fmt);
	vsnprintf(err->hint, sizeof(err->hint), fmt, ap);
	va_end(ap);
	return err->code;
}
