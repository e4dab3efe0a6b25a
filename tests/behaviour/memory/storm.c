/* SPDX-License-Identifier: Apache-2.0 */
/* One task that writes at random while everything else happens to its address space. */
#include "storm.h"

BEHAVE("a storm of writes and other operations in one task", .changes = "all files")
{
	storm(&(struct storm_options){
		.tasks = 1, .threads = 1, .scale = 32, .burst = 60, .nap_ms = 1, .races = true});
}
