/* SPDX-License-Identifier: MIT
 *
 * guest_open: opening what lies in reach of hostile programs: never by way of a link at the last part, never waiting, and what
 * was opened is what was looked at (gVisor follows a link under O_NOFOLLOW in some builds).
 */
#ifndef GUEST_OPEN_H
#define GUEST_OPEN_H

#include <dirent.h>
#include <stdbool.h>
#include <sys/stat.h>

/* A directory; -1: errno says why (ENOTDIR: it is none). */
int guest_open_directory(int dir, const char *name);
/* The same for reading its entries (closedir). */
DIR *guest_open_entries(int dir, const char *name);
/* A regular file of at most `most` bytes. -1: *why says why, in a word where there is one. */
int guest_open_file(int dir, const char *name, unsigned long long most, struct stat *st, const char **why);
/* The words of an errno: "missing" where nothing is there. */
const char *guest_open_why(int error);
/* "." or "..". */
bool guest_open_is_dots(const char *name);

#endif
