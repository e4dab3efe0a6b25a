/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Terminals through ioctls (tty_ioctl(4)), with the kernel's own struct termios.
 *
 * There is no way to look at queued bytes without reading them. So they are read and written back
 * by a guarded process (guard.h) with the line discipline in raw mode, in which bytes pass as they
 * are, in both directions. Going back to canonical mode makes what is queued one complete line:
 * what was several lines can then be read at once. That is why a pair with nothing queued isn't
 * touched at all. An unfinished line (typed, without its end) can't be seen: it isn't kept.
 */
#include "file/tty_io.h"

#include "base/log.h"
#include "file/guard.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>

/* struct termios of <asm/termbits.h>, which can't be included next to the C library's. */
struct kernel_termios {
	uint32_t c_iflag, c_oflag, c_cflag, c_lflag;
	uint8_t c_line;
	uint8_t c_cc[TTY_NCC];
};
_Static_assert(sizeof(struct kernel_termios) == 36, "as the kernel has it");

/* From <asm-generic/ioctls.h>; the C library's <sys/ioctl.h> has some of them. */
#ifndef TIOCGPKT
#define TIOCGPKT   0x80045438
#define TIOCGPTLCK 0x80045439
#define TIOCGEXCL  0x80045440
#endif
#ifndef TIOCGLCKTRMIOS
#define TIOCGLCKTRMIOS 0x5456
#define TIOCSLCKTRMIOS 0x5457
#endif

/*
 * The format has 19 32-bit words for c_cc, of which writers use the first 19 *bytes*: the kernel's
 * array is copied over them as it is.
 */
static TermiosEntry *termios_put(struct files *f, const struct kernel_termios *k)
{
	TermiosEntry *e = arena_new_of(f->a, TermiosEntry);

	termios_entry__init(e);
	e->c_iflag = k->c_iflag;
	e->c_oflag = k->c_oflag;
	e->c_cflag = k->c_cflag;
	e->c_lflag = k->c_lflag;
	e->c_line = k->c_line;
	e->n_c_cc = TTY_NCC;
	e->c_cc = arena_array_of(f->a, uint32_t, TTY_NCC);
	memcpy(e->c_cc, k->c_cc, TTY_NCC);
	return e;
}

static struct kernel_termios termios_of(const TermiosEntry *e)
{
	struct kernel_termios k = {
		.c_iflag = e->c_iflag,
		.c_oflag = e->c_oflag,
		.c_cflag = e->c_cflag,
		.c_lflag = e->c_lflag,
		.c_line = (uint8_t)e->c_line,
	};

	memcpy(k.c_cc, e->c_cc, TTY_NCC);
	return k;
}

bool tty_query(struct files *f, int fd, bool is_master, TtyInfoEntry *e)
{
	struct kernel_termios k, locked;
	WinsizeEntry *we = arena_new_of(f->a, WinsizeEntry);
	struct winsize ws;
	int value;

	e->exclusive = ioctl(fd, TIOCGEXCL, &value) == 0 && value;
	if (is_master) {
		e->locked = ioctl(fd, TIOCGPTLCK, &value) == 0 && value;
		e->packet_mode = ioctl(fd, TIOCGPKT, &value) == 0 && value;
	}
	if (ioctl(fd, TCGETS, &k) < 0 || ioctl(fd, TIOCGLCKTRMIOS, &locked) < 0 ||
	    ioctl(fd, TIOCGWINSZ, &ws) < 0)
		return false;
	winsize_entry__init(we);
	we->ws_row = ws.ws_row;
	we->ws_col = ws.ws_col;
	we->ws_xpixel = ws.ws_xpixel;
	we->ws_ypixel = ws.ws_ypixel;
	e->winsize = we;
	e->termios = termios_put(f, &k);
	e->termios_locked = termios_put(f, &locked);
	return true;
}

int tty_check_entry(const TtyInfoEntry *e, struct err *err)
{
	const WinsizeEntry *w = e->winsize;

	if (!!e->termios != !!e->termios_locked || !!e->termios != !!e->winsize)
		return err_input(err, "tty-info.img: terminal %u: modes or size are missing",
				 e->id);
	if (e->termios && (e->termios->n_c_cc < TTY_NCC || e->termios_locked->n_c_cc < TTY_NCC))
		return err_input(err, "tty-info.img: terminal %u: c_cc is too short", e->id);
	if (w && (w->ws_row > UINT16_MAX || w->ws_col > UINT16_MAX || w->ws_xpixel > UINT16_MAX ||
		  w->ws_ypixel > UINT16_MAX))
		return err_input(err, "tty-info.img: terminal %u: broken window size", e->id);
	return 0;
}

int tty_set_modes(int fd, const TtyInfoEntry *e, struct err *err)
{
	struct kernel_termios k, now;

	if (!e->termios)
		return 0;
	k = termios_of(e->termios);
	if (ioctl(fd, TCSETS, &k) < 0)
		return err_sys(err, -errno, "terminal %u: set its modes", e->id);
	/* Almost never used, and takes CAP_SYS_ADMIN. */
	k = termios_of(e->termios_locked);
	if (ioctl(fd, TIOCGLCKTRMIOS, &now) == 0 && !memcmp(&now, &k, sizeof(k)))
		return 0;
	if (ioctl(fd, TIOCSLCKTRMIOS, &k) < 0)
		return err_sys(err, -errno, "terminal %u: set its locked modes", e->id);
	return 0;
}

int tty_set_size(int fd, const TtyInfoEntry *e, struct err *err)
{
	struct winsize ws;

	if (!e->winsize)
		return 0;
	ws = (struct winsize){
		.ws_row = (uint16_t)e->winsize->ws_row,
		.ws_col = (uint16_t)e->winsize->ws_col,
		.ws_xpixel = (uint16_t)e->winsize->ws_xpixel,
		.ws_ypixel = (uint16_t)e->winsize->ws_ypixel,
	};
	if (ioctl(fd, TIOCSWINSZ, &ws) < 0)
		return err_sys(err, -errno, "terminal %u: set its window size", e->id);
	return 0;
}

/* ----------------------------------------------------------- queued bytes */

static bool readable(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return poll(&p, 1, 0) == 1 && (p.revents & POLLIN);
}

/* All that can be read without waiting. */
static int drain(int fd, uint8_t *buf, size_t *len)
{
	*len = 0;
	while (*len < TTY_QUEUE_MAX && readable(fd)) {
		ssize_t n = read(fd, buf + *len, TTY_QUEUE_MAX - *len);

		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		*len += (size_t)n;
	}
	return 0;
}

static int put(int fd, const uint8_t *buf, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, buf, len);

		if (n < 0)
			return -errno;
		buf += n;
		len -= (size_t)n;
	}
	return 0;
}

/*
 * What is written to the master passes a kernel worker before the line discipline sees it. Modes
 * mustn't change before it has: waits until the slave can read it.
 */
static int wait_readable(int fd, size_t len)
{
	const struct timespec step = {.tv_nsec = 100000};

	for (int i = 0; i < 10000; i++) {
		int n = 0;

		if (ioctl(fd, FIONREAD, &n) < 0)
			return -errno;
		if (n >= (int)len)
			return 0;
		nanosleep(&step, NULL);
	}
	return -ETIMEDOUT;
}

static int make_raw(int fd, struct kernel_termios *old)
{
	struct kernel_termios raw;

	if (ioctl(fd, TCGETS, old) < 0)
		return -errno;
	raw = *old;
	raw.c_iflag = 0;
	raw.c_oflag = 0;
	raw.c_lflag = 0;
	memset(raw.c_cc, 0, sizeof(raw.c_cc));
	return ioctl(fd, TCSETS, &raw) < 0 ? -errno : 0;
}

static int refill(int master, int slave, const struct tty_queues *q)
{
	int r = put(slave, q->to_master, q->nto_master);

	if (r == 0)
		r = put(master, q->to_slave, q->nto_slave);
	if (r == 0 && q->nto_slave)
		r = wait_readable(slave, q->nto_slave);
	return r;
}

struct peek {
	int master, slave;
	struct tty_queues *q;
};

static int peek_guarded(void *arg)
{
	const struct peek *p = arg;
	struct kernel_termios old;
	int r = make_raw(p->slave, &old), r2;

	if (r < 0)
		return r;
	r = drain(p->master, p->q->to_master, &p->q->nto_master);
	if (r == 0)
		r = drain(p->slave, p->q->to_slave, &p->q->nto_slave);
	r2 = refill(p->master, p->slave, p->q);
	if (r == 0)
		r = r2;
	if (ioctl(p->slave, TCSETS, &old) < 0 && r == 0)
		r = -errno;
	return r;
}

int tty_peek(int master, int slave, struct tty_queues *ret, struct err *err)
{
	struct peek p = {.master = master, .slave = slave, .q = ret};
	int value = 0, r;

	ret->nto_slave = ret->nto_master = 0;
	if (!readable(master) && !readable(slave))
		return 0;
	if (ioctl(master, TIOCGPKT, &value) == 0 && value) {
		log_warn("a terminal in packet mode: bytes that are queued in it aren't kept");
		return 0;
	}
	r = guard_run(peek_guarded, &p);
	return r < 0 ? err_sys(err, r, "look at the bytes queued in a terminal") : 0;
}

int tty_fill(int master, int slave, const struct tty_queues *q, struct err *err)
{
	struct kernel_termios old;
	int r;

	if (!q->nto_slave && !q->nto_master)
		return 0;
	r = make_raw(slave, &old);
	if (r == 0)
		r = refill(master, slave, q);
	if (r < 0)
		return err_sys(err, r, "put bytes into a terminal");
	return 0; /* the modes that belong there are set next */
}
