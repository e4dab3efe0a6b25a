/* SPDX-License-Identifier: Apache-2.0 */
/* Threads of one task, each with mappings of its own: what one does gets in the others' way. */
#include "storm.h"

BEHAVE("a storm of writes and other operations in five threads", .changes = "all files")
{
	storm(&(struct storm_options){
		.tasks = 1, .threads = 5, .scale = 4, .burst = 20, .nap_ms = 2, .races = true});
}
