/* SPDX-License-Identifier: Apache-2.0 */
/* Sixteen tasks that were one, each writing to its own copy. */
#include "storm.h"

BEHAVE("a storm of writes and other operations in sixteen tasks", .changes = "all files")
{
	storm(&(struct storm_options){
		.tasks = 16, .threads = 1, .scale = 8, .burst = 20, .nap_ms = 10, .races = true});
}
