/* SPDX-License-Identifier: Apache-2.0 */
#include "inspect/json.h"

#include "base/arena.h"
#include "base/auto.h"

#include <string.h>

json_t *json_text(const char *text, size_t len)
{
	json_t *j = json_stringn(text, len);
	auto_free char *ascii = NULL;

	if (j)
		return j;
	ascii = xcalloc(1, len + 1);
	for (size_t i = 0; i < len; i++)
		ascii[i] = (unsigned char)text[i] < 0x80 ? text[i] : '?';
	return json_stringn(ascii, len);
}

json_t *json_string_of(const char *text)
{
	return json_text(text ? text : "", text ? strlen(text) : 0);
}

void json_count(json_t *obj, const char *key, json_int_t n)
{
	json_object_set_new(obj, key,
			    json_integer(json_integer_value(json_object_get(obj, key)) + n));
}
