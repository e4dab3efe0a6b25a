/* SPDX-License-Identifier: Apache-2.0 */
/* A slave whose master is gone, as programs have it whose terminal window was closed. */
#include "behave.h"
#include "pty.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

BEHAVE("a terminal that was hung up", .changes = "fds")
{
	char name[64], c;
	int master = pty_open_master(O_RDWR | O_NOCTTY, name, sizeof(name)), slave;
	struct termios modes;

	slave = SYS(open(name, O_RDWR | O_NOCTTY));
	close(master);
	FREEZE();
	CHECK_EQ(read(slave, &c, 1), 0);
	CHECK(write(slave, "x", 1) < 0 && errno == EIO, "write: %m");
	CHECK(tcgetattr(slave, &modes) < 0 && errno == EIO, "tcgetattr: %m");
	CHECK_EQ(fcntl(slave, F_GETFL) & O_ACCMODE, O_RDWR);
}
