/* SPDX-License-Identifier: MIT
 *
 * sup_arch: which machine a seccomp filter is for.
 */
#ifndef SUP_ARCH_H
#define SUP_ARCH_H

#include <linux/audit.h>

#if defined(__x86_64__)
#define SUP_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define SUP_ARCH AUDIT_ARCH_AARCH64
#else
#error "gVisor runs on x86_64 and aarch64"
#endif

#endif
