/* SPDX-License-Identifier: MIT
 *
 * guest_io: frames on stdin and stdout, as in sbx_wire.h; strings in a payload end with NUL. What cannot be written ends the
 * helper: nobody listens.
 */
#ifndef GUEST_IO_H
#define GUEST_IO_H

#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

/* Reads n bytes of stdin; -1: it ended before. */
int guest_io_read(void *bytes, size_t n);
/* A frame of strings; each is cut at PATH_MAX. */
void guest_io_say(uint8_t type, const char *const part[], unsigned parts);
/* E or S: what failed or was left out, and why. */
void guest_io_fail(uint8_t type, const char *path, const char *why);
/* N: what an entry of a directory is. target: of a link, or "". */
void guest_io_entry(const char *name, const struct stat *st, const char *target);
/*
 * F and D: an open file, as much as it had when it was looked at and no more, however fast it grows. until: give up then.
 * -1: given up; else what was sent.
 */
int64_t guest_io_file(int fd, const char *name, const struct stat *st, double until);

/* What a mode says it is, in one word. */
const char *guest_io_kind(mode_t mode);
/* Seconds of a clock that only goes forward. */
double guest_io_now(void);

#endif
