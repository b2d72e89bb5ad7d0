/* SPDX-License-Identifier: MIT
 *
 * sbx_io: reading and writing that goes on where the kernel stopped half-way: EINTR, and less than was asked for.
 */
#ifndef SBX_IO_H
#define SBX_IO_H

#include <stddef.h>
#include <sys/types.h>

/* Writes all n bytes; -1 and errno where some could not be (EAGAIN, too: who waits, waits elsewhere). */
int sbx_io_write(int fd, const void *bytes, size_t n);
/* Reads n bytes, or up to the end; how many there were, or -1 and errno. */
ssize_t sbx_io_read(int fd, void *out, size_t n);
/* Copies up to the end. -1 and errno. */
int sbx_io_copy(int in, int out);

/* The file `name` in dir as text of at most size-1 bytes, ended with NUL in every case; its length, or -1 and errno. */
ssize_t sbx_io_read_at(int dir, const char *name, char *out, size_t size);
/* Writes a file in dir, opened with these flags besides; one that is made is 0600. -1 and errno. */
int sbx_io_write_at(int dir, const char *name, int flags, const void *bytes, size_t n);

#endif
