/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A process whose main thread has exited while others run: the kernel shows a zombie. There is no
 * record for it in the image format, so the dump is refused, and the process goes on.
 */
#include "behave.h"

#include <stdlib.h>
#include <unistd.h>

static void *other(void *arg)
{
	while (behave_proc_stat("self", 3) != 'Z')
		behave_nap(1);
	behave_ready();
	behave_await_go();
	behave_finish();
}

BEHAVE("the main thread has exited: refused", .modes = PLAIN,
       .refused = "the main thread has exited")
{
	behave_thread(other, NULL);
	pthread_exit(NULL);
}
