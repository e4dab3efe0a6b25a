/* SPDX-License-Identifier: Apache-2.0 */
/* The image's way to write an execution domain down; see personality.c. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

uint32_t personality_to_image(uint32_t persona);
/* False: nothing that a Linux program has; to be ignored. */
bool personality_from_image(uint32_t field, uint32_t *ret);
