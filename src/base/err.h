/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Errors.
 *
 * Every fallible function returns 0 (or a documented positive answer) or a negative errno.
 * From remote/ and image/ upwards the last parameter is `struct err *err`, never NULL, with the
 * contract: set if and only if the result is negative; the first cause wins. The struct is of
 * fixed size and belongs to the verb, so that it works without memory and in a forked child.
 *
 * Text: lower case, no full stop, object before verb before cause. The hint is an imperative.
 *
 *	if (fd < 0)
 *		return err_sys(err, -errno, "open %s", path);
 *	return err_refuse(err, "pass --shell-job", "pid %d (%s): not a session leader", pid, comm);
 */
#pragma once

#define MUST_USE	  __attribute__((warn_unused_result))
#define PRINTF_LIKE(f, a) __attribute__((format(printf, f, a)))

enum err_kind {
	ERR_NONE = 0,
	ERR_SYS,     /* a call failed */
	ERR_REFUSED, /* something that torpor doesn't dump or restore; always with a hint */
	ERR_INPUT,   /* bad image, option, configuration or peer */
	ERR_GONE,    /* the target died */
	ERR_PERM,    /* a capability is missing; the text names it */
	ERR_KERNEL,  /* this kernel lacks a feature */
	ERR_BUG,     /* our own mistake */
};

struct err {
	int code; /* negative errno, 0 while unset */
	enum err_kind kind;
	char text[1024];
	char hint[512];
};

#define ERR_INIT ((struct err){.code = 0})

/* Evaluates `expr`; leaves the function with its value if that is negative. */
#define TRY(expr)                                                                                  \
	do {                                                                                       \
		int try_ret_ = (expr);                                                             \
		if (try_ret_ < 0)                                                                  \
			return try_ret_;                                                           \
	} while (0)

/* A call failed: `code` is its negative errno, whose text is appended. EPERM becomes ERR_PERM. */
int err_sys(struct err *err, int code, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* Not supported or not allowed by the options. -ENOTSUP. `hint` says what to do. */
int err_refuse(struct err *err, const char *hint, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* Bad bytes or words from outside. -EINVAL. */
int err_input(struct err *err, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* The target died meanwhile. -ESRCH. */
int err_gone(struct err *err, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* A kernel feature is missing. -EOPNOTSUPP. */
int err_kernel(struct err *err, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Our own mistake. -EFAULT. */
int err_bug(struct err *err, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Puts context in front while an error travels up: "pid 812 (nginx): " + text. Returns err->code.
 */
int err_in(struct err *err, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Sets the hint of an error that has none yet. Returns err->code. */
int err_hint(struct err *err, const char *fmt, ...) PRINTF_LIKE(2, 3);
