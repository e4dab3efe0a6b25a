/* SPDX-License-Identifier: Apache-2.0 */
/* A deleted file that has another link: refused without --link-remap, and the program goes on. */
#include "behave.h"

#include <fcntl.h>
#include <unistd.h>

BEHAVE("a deleted file with another link is refused", .modes = PLAIN, .refused = "--link-remap")
{
	int fd = SYS(open("first", O_CREAT | O_EXCL | O_RDWR, 0644));

	MUST(link("first", "second") == 0 && unlink("first") == 0);
	FREEZE();
	CHECK(write(fd, "x", 1) == 1, "write: %m");
}
