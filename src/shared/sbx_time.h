/* SPDX-License-Identifier: MIT
 *
 * sbx_time: one clock, CLOCK_MONOTONIC, as seconds in a double (exact to 0.2 us for 30 years of uptime).
 */
#ifndef SBX_TIME_H
#define SBX_TIME_H

#include <time.h>

static inline double sbx_time_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

#endif
