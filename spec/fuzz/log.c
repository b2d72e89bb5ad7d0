/* SPDX-License-Identifier: MIT
 *
 * sup_log: runsc's log, of which a guest may have written parts (its names are in there), and what is made of it for the caller.
 */
#include "fuzz.h"

#include "sup_log.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	struct sup_error e = { .code = "" };
	char out[512] = "", *log = fuzz_copy(bytes, n);

	if (sup_log_first_error(log, n, out, sizeof(out))) {
		MUST(memchr(out, 0, sizeof(out)));
		sup_log_explain(out, &e);
		MUST(*e.code && *e.message && memchr(e.message, 0, sizeof(e.message)));
	}
	free(log);
	return 0;
}
