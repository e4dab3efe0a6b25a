/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pseudo terminal both of whose ends are in the tree: modes, size, and what was typed and printed
 * and not read yet.
 */
#include "behave.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

static int open_pair(int *ret_slave)
{
	int master = SYS(posix_openpt(O_RDWR | O_NOCTTY));

	MUST(grantpt(master) == 0 && unlockpt(master) == 0);
	*ret_slave = SYS(open(ptsname(master), O_RDWR | O_NOCTTY));
	return master;
}

BEHAVE("a pseudo terminal with both ends")
{
	struct winsize size = {.ws_row = 17, .ws_col = 71, .ws_xpixel = 3, .ws_ypixel = 4}, got;
	struct termios want, now;
	char name[64], buf[32] = "";
	int slave, master = open_pair(&slave);

	strcpy(name, ptsname(master));
	MUST(tcgetattr(slave, &want) == 0);
	cfmakeraw(&want);
	want.c_cc[VMIN] = 3;
	want.c_cc[VTIME] = 7;
	want.c_iflag |= IXOFF;
	MUST(tcsetattr(slave, TCSANOW, &want) == 0 && tcgetattr(slave, &want) == 0);
	MUST(ioctl(slave, TIOCSWINSZ, &size) == 0);
	MUST(write(slave, "printed", 7) == 7 && write(master, "typed", 5) == 5);
	FREEZE();
	CHECK_STR(ptsname(master), name);
	CHECK(tcgetattr(slave, &now) == 0, "tcgetattr: %m");
	CHECK(want.c_iflag == now.c_iflag && want.c_oflag == now.c_oflag &&
		      want.c_cflag == now.c_cflag && want.c_lflag == now.c_lflag,
	      "other modes");
	CHECK(now.c_cc[VMIN] == 3 && now.c_cc[VTIME] == 7, "VMIN %d, VTIME %d", now.c_cc[VMIN],
	      now.c_cc[VTIME]);
	CHECK(ioctl(master, TIOCGWINSZ, &got) == 0, "TIOCGWINSZ: %m");
	CHECK_MEM(&got, &size, sizeof(size));
	CHECK(read(slave, buf, sizeof(buf) - 1) == 5, "what was typed: %s", buf);
	CHECK_STR(buf, "typed");
	memset(buf, 0, sizeof(buf));
	CHECK(read(master, buf, sizeof(buf) - 1) == 7, "what was printed: %s", buf);
	CHECK_STR(buf, "printed");
	CHECK(write(master, "more", 4) == 4 && read(slave, buf, sizeof(buf)) == 4,
	      "the ends aren't connected: %m");
}
