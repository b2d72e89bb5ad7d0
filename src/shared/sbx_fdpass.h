/* SPDX-License-Identifier: MIT
 *
 * sbx_fdpass: descriptors over a unix socket (unix(7), SCM_RIGHTS).
 */
#ifndef SBX_FDPASS_H
#define SBX_FDPASS_H

#include <stddef.h>
#include <sys/types.h>

#define SBX_FDPASS_MAX 8

/*
 * Sends bytes, and with the first of them up to SBX_FDPASS_MAX descriptors, which stay the caller's. As send(2): how many bytes
 * went, or -1 and errno.
 */
ssize_t sbx_fdpass_send(int sock, const void *bytes, size_t n, const int *fd, unsigned count, int flags);

/*
 * Receives one message with up to max descriptors (at most SBX_FDPASS_MAX), waiting for it: they are close-on-exec and the
 * caller's. How many; -1: the end, or none came.
 */
int sbx_fdpass_receive(int sock, int *fd, unsigned max);

#endif
