/* SPDX-License-Identifier: MIT
 *
 * net_jail: what sandbox-net gives up before it hears of a guest: its user where it is root, every capability, new privileges,
 * all system calls but those that it needs, and more descriptors and memory than its bounds come to.
 */
#ifndef NET_JAIL_H
#define NET_JAIL_H

#include <sys/types.h>

/* As root: becomes uid and gid, in no group. -1: *what (static) could not be given up. */
int net_jail_enter(uid_t uid, gid_t gid, const char **what);

#endif
