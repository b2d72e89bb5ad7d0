/* SPDX-License-Identifier: MIT
 *
 * sup_request: a request, and behind a byte 0xff what a lease changes of it.
 */
#include "fuzz.h"

#include "sup_request.h"

static void told(const struct sup_error *e)
{
	MUST(*e->code && *e->message && memchr(e->message, 0, sizeof(e->message)));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	const uint8_t *lease = n ? memchr(bytes, 0xff, n) : NULL;
	size_t first = lease ? (size_t)(lease - bytes) : n;
	struct sup_error e = { .code = "" };
	struct sup_request r;

	if (sup_request_parse(&r, fuzz_copy(bytes, first), first, &e) < 0) {
		told(&e);
	} else {
		MUST(r.mode < SUP_MODES && !*e.code);
		if (lease) {
			char *text = fuzz_copy(lease + 1, n - first - 1);

			if (sup_request_update(&r, text, n - first - 1, &e) < 0)
				told(&e);
			free(text);	/* and nothing may point into it */
		}
		for (size_t i = 0; i < r.args.n; i++)
			MUST(strlen(r.args.item[i]) < first);
	}
	sup_request_destroy(&r);
	return 0;
}
