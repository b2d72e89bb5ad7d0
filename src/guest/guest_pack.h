/* SPDX-License-Identifier: MIT
 *
 * guest_pack: a directory with all that is in it, out of one sandbox and into the next. What is written here is read by the same
 * program elsewhere, as a guest and with a guest's rights, and by nobody on the host: that only carries the bytes.
 */
#ifndef GUEST_PACK_H
#define GUEST_PACK_H

/*
 * Writes what is below a directory to stdout: files, directories and links, with permissions and times; no FIFOs, sockets, devices.
 * At most so many bytes in all and so many entries. without: paths below it, up to a NULL, that are left out with all below them, as
 * what is mounted there. 0, or 1 and a sentence on stderr.
 */
int guest_pack(const char *path, const char *bytes, const char *entries, char *const *without);
/* Reads that from stdin and makes it below a directory. What is there stays as it is. 0, or 1 and a sentence on stderr. */
int guest_unpack(const char *path);

#endif
