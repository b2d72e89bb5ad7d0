/* SPDX-License-Identifier: MIT
 *
 * img_say: what sandbox-image tells on its stdout: one JSON object a line, each with an `event`. What comes from an image or from a tool
 * is hostile: it is cut, and what is no printable text becomes a space. URLs lose what stands before an @ in them.
 */
#ifndef IMG_SAY_H
#define IMG_SAY_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

/* A message is at most this long, NUL included. */
#define IMG_SAY_MAX 1200

/* Tells why there is nothing: `code` is one of the module's. -1, always. */
int img_fail(const char *code, const char *form, ...) __attribute__((format(printf, 2, 3)));

/* Where it is: a phase ("wait", "fetch", "check", "unpack", "pack"), and so many bytes of it. */
void img_progress(const char *phase, uint64_t bytes);

/* An image is there: its key below images/. fresh: it was made now. */
void img_done(const char *key, int fresh);

/* Something was removed. */
void img_removed(const char *key, uint64_t bytes);

/* The text as it may be shown, in place. */
void img_clean(char *text);

#endif
