/* SPDX-License-Identifier: Apache-2.0 */
#include "image/store.h"

#include "image/store_priv.h"

/* No directory has sums of single pages yet. */
int page_store_verify(struct page_store *s, struct pool *pool, struct err *err)
{
	return 0;
}
