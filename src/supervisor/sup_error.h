/* SPDX-License-Identifier: MIT
 *
 * sup_error: why a run could not be had, in the words and with the code that the caller gets (API.md, errors).
 * The first error wins: what follows from it would only hide it.
 */
#ifndef SUP_ERROR_H
#define SUP_ERROR_H

#include <stdbool.h>

struct sup_error {
	char code[32];		/* empty: no error */
	char message[1024];
};

static inline bool sup_error_set(const struct sup_error *e)
{
	return e->code[0] != '\0';
}

/* Notes an error and returns -1; a later one is ignored. */
int sup_error(struct sup_error *e, const char *code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* The same, of our helper's errno where it could not become the program: for want of its cwd, or of what is to be executed. */
int sup_error_command(struct sup_error *e, bool cwd, int err);

#endif
