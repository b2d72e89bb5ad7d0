/* SPDX-License-Identifier: MIT
 *
 * guest_guard: what a program in a box may not do. gVisor gives a box's programs the OCI spec's seccomp rules since its release
 * that brought --gofer-network-namespace; in older ones the helper takes them on itself before it becomes the program.
 */
#ifndef GUEST_GUARD_H
#define GUEST_GUARD_H

#include <stdbool.h>

/*
 * From now on neither this process nor what comes from it makes a user namespace: EPERM, of clone3 ENOSYS. traced: nor may it
 * trace another's system calls, for gVisor lets a tracer change a call after it was looked at (run/oci.lua has the same rules).
 * -1 and errno.
 */
int guest_guard(bool traced);

#endif
