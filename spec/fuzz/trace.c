/* SPDX-License-Identifier: MIT
 *
 * sup_trace and sup_tree: packets, each behind a byte that is its length; the first byte says whether of a box.
 */
#include "fuzz.h"

#include "sup_trace.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	static struct sup_tree tree;
	struct sup_trace t = { .listener = -1, .conn = -1 };
	int status;

	if (!n)
		return 0;
	if (bytes[0] & 1) {
		memset(&tree, 0, sizeof(tree));
		t.tree = &tree;
	}
	for (size_t at = 1; at < n;) {
		size_t size = bytes[at++];
		bool ended = t.ended, started = t.started;

		size = size < n - at ? size : n - at;
		uint8_t *packet = fuzz_copy(bytes + at, size);

		sup_trace_event(&t, packet, size);
		free(packet);
		at += size;
		MUST(t.ended >= ended && t.started >= started);	/* no state goes back */
		MUST(t.peak >= 0 && (!t.ended || t.told));
	}
	if (t.tree) {
		for (size_t at = 0; bytes[0] & 0x80 && sup_tree_next(t.tree, bytes[0] >> 1 & 0x3f, &at);)
			MUST(at <= SUP_TREE_SLOTS);
		(void)sup_tree_status(t.tree, 1, &status);
		MUST(tree.live <= SUP_TREE_SLOTS);
	}
	return 0;
}
