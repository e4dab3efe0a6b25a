/* SPDX-License-Identifier: Apache-2.0 */
/* Writes alone, in four tasks with two threads each: mappings and tasks stay as they are. */
#include "storm.h"

BEHAVE("a storm of writes alone in four tasks of two threads", .changes = "signals")
{
	storm(&(struct storm_options){
		.tasks = 4, .threads = 2, .scale = 8, .burst = 40, .nap_ms = 4});
}
