/* SPDX-License-Identifier: MIT
 *
 * sup_rlimit: what of the host process's own resource limits stays, and would stop a sandbox: those that an ordinary user's hard
 * limits hold. What may be raised has been (sbx_rlimit).
 */
#ifndef SUP_RLIMIT_H
#define SUP_RLIMIT_H

#include "sup_error.h"
#include "sup_request.h"

/* not_supported, naming the limit, where a sandbox for this request could not live under one; 0 otherwise. */
int sup_rlimit_check(const struct sup_request *r, struct sup_error *e);

#endif
