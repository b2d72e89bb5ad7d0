/* SPDX-License-Identifier: MIT
 *
 * sup_log: why runsc failed, from the files of --log and --panic-log. The guest writes to stderr, never to these.
 */
#ifndef SUP_LOG_H
#define SUP_LOG_H

#include <stddef.h>

#include "sup_dir.h"
#include "sup_error.h"

/* The first error in a log of JSON objects, which runsc concatenates without newlines. 1, or 0 when there is none. */
int sup_log_first_error(const char *log, size_t n, char *out, size_t size);
/* Whether the panic log tells of a crash. */
int sup_log_panicked(const struct sup_dir *d, char *out, size_t size);
/* Turns what runsc said into the caller's error. */
void sup_log_explain(const char *text, struct sup_error *e);

#endif
