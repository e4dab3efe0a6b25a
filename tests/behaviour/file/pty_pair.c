/* SPDX-License-Identifier: Apache-2.0 */
/* A pty pair inside the tree: number, modes, size, owner, bytes queued in both directions. */
#include "behave.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

/* What can be read from a non-blocking end now, waiting a moment for it. */
static void check_queued(int fd, const char *want, const char *which)
{
	char buf[64] = "";
	ssize_t n = -1;

	for (int i = 0; i < 200 && n < 0; i++) {
		n = read(fd, buf, sizeof(buf) - 1);
		if (n < 0)
			behave_nap(1);
	}
	CHECK(n == (ssize_t)strlen(want) && !memcmp(buf, want, strlen(want)),
	      "%s reads %zd: \"%s\"", which, n, buf);
}

BEHAVE("a pty pair with queued bytes")
{
	struct winsize size = {.ws_row = 33, .ws_col = 111, .ws_xpixel = 7, .ws_ypixel = 9}, now;
	int master = SYS(posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK)), slave, second, number = -1;
	char name[64], again[64] = "";
	struct termios modes, got;
	struct stat st;

	MUST(grantpt(master) == 0 && unlockpt(master) == 0);
	MUST(ptsname_r(master, name, sizeof(name)) == 0);
	slave = SYS(open(name, O_RDWR | O_NOCTTY | O_NONBLOCK));
	second = SYS(open(name, O_RDONLY | O_NOCTTY));
	MUST(fchmod(slave, 0622) == 0);
	MUST(ioctl(master, TIOCSWINSZ, &size) == 0 && tcgetattr(slave, &modes) == 0);
	modes.c_lflag &= ~(tcflag_t)(ECHO | ICANON);
	modes.c_oflag &= ~(tcflag_t)ONLCR;
	modes.c_cc[VINTR] = 'i';
	modes.c_cc[VMIN] = 3;
	modes.c_cc[VSTOP] = 0x1f;
	MUST(tcsetattr(slave, TCSANOW, &modes) == 0);
	MUST(write(master, "typed", 5) == 5 && write(slave, "shown\n", 6) == 6);
	behave_nap(20);
	FREEZE();
	CHECK(ioctl(master, TIOCGPTN, &number) == 0 && number == atoi(name + 9), "number %d of %s",
	      number, name);
	CHECK(ttyname_r(slave, again, sizeof(again)) == 0, "ttyname: %m");
	CHECK_STR(again, name);
	CHECK(tcgetattr(slave, &got) == 0, "tcgetattr: %m");
	CHECK_EQ(got.c_lflag, modes.c_lflag);
	CHECK_EQ(got.c_oflag, modes.c_oflag);
	CHECK_MEM(got.c_cc, modes.c_cc, 17);
	CHECK(ioctl(slave, TIOCGWINSZ, &now) == 0 && !memcmp(&now, &size, sizeof(now)),
	      "size %u x %u", now.ws_row, now.ws_col);
	CHECK(fstat(slave, &st) == 0 && (st.st_mode & 0777) == 0622, "mode %o", st.st_mode);
	CHECK(!(fcntl(second, F_GETFL) & O_NONBLOCK), "the second description is non-blocking");
	check_queued(slave, "typed", "the slave");
	check_queued(master, "shown\n", "the master");
	MUST(write(slave, "!", 1) == 1);
	check_queued(master, "!", "the master, later");
	close(slave);
	close(second);
	CHECK(read(master, again, 1) < 0, "somebody else keeps the slave open");
}
