/* SPDX-License-Identifier: MIT
 *
 * sup_sweep: removes what dead supervisors left: directories of runs, and the cgroups that are named in them.
 */
#ifndef SUP_SWEEP_H
#define SUP_SWEEP_H

#include "sup_error.h"

/* The number of runs of state_dir that were removed, or -1. One whose cgroups have something in them that does not die stays. */
int sup_sweep(const char *state_dir, struct sup_error *e);

#endif
