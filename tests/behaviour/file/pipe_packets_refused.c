/* SPDX-License-Identifier: Apache-2.0 */
/* A pipe in packet mode, whose messages have bounds: refused by that name, and the program goes on.
 */
#include "behave.h"

#include <fcntl.h>
#include <unistd.h>

BEHAVE("a pipe in packet mode is refused", .modes = PLAIN, .refused = "packet mode")
{
	char buf[16];
	int fds[2];

	MUST(pipe2(fds, O_DIRECT) == 0);
	MUST(write(fds[1], "one", 3) == 3 && write(fds[1], "three", 5) == 5);
	FREEZE();
	CHECK_EQ(read(fds[0], buf, sizeof(buf)), 3);
	CHECK_EQ(read(fds[0], buf, sizeof(buf)), 5);
}
