/* SPDX-License-Identifier: MIT
 *
 * What each target of spec/fuzz is: one function of some bytes, called by libFuzzer (scripts/fuzz.sh), or by replay.c with what was kept.
 */
#ifndef FUZZ_H
#define FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);
int LLVMFuzzerInitialize(int *argc, char ***argv);

/* What must hold: a sanitizer tells the rest. */
#define MUST(what) do { if (!(what)) abort(); } while (0)

/* A copy of exactly this size, so that one byte read beyond is seen; of none, one that may not be read. */
static inline void *fuzz_copy(const void *bytes, size_t n)
{
	void *copy = malloc(n);

	MUST(copy || !n);
	if (n)
		memcpy(copy, bytes, n);
	return copy;
}

#endif
