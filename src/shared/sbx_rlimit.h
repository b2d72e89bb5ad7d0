/* SPDX-License-Identifier: MIT
 *
 * sbx_rlimit: the resource limits of a process of our own (getrlimit(2)), which are those of the host that started it: made for a Lua
 * program, and not for a sandbox.
 */
#ifndef SBX_RLIMIT_H
#define SBX_RLIMIT_H

/*
 * Raises the calling process's limits as far as it may: the soft ones to the hard ones, and with CAP_SYS_RESOURCE both. No cores are
 * written, which would hold a guest's memory, and the stack is the usual one. Only system calls, for use between vfork and exec.
 */
void sbx_rlimit_lift(void);

#endif
