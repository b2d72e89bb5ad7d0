/* SPDX-License-Identifier: MIT */
#include "sbx_rlimit.h"

#include <stddef.h>
#include <sys/resource.h>

/* Linux's default of fs.nr_open: more than it is refused even to root. */
#define FILES (1u << 20)
/* Linux's default. Where it is unlimited, programs are laid out as long ago, and threads get less. */
#define STACK (8u << 20)

static const struct { int what; rlim_t most; } raised[] = {
	{ RLIMIT_CPU, RLIM_INFINITY }, { RLIMIT_FSIZE, RLIM_INFINITY }, { RLIMIT_DATA, RLIM_INFINITY }, { RLIMIT_RSS, RLIM_INFINITY },
	{ RLIMIT_NPROC, RLIM_INFINITY }, { RLIMIT_AS, RLIM_INFINITY }, { RLIMIT_LOCKS, RLIM_INFINITY }, { RLIMIT_RTTIME, RLIM_INFINITY },
	{ RLIMIT_SIGPENDING, RLIM_INFINITY }, { RLIMIT_MEMLOCK, RLIM_INFINITY }, { RLIMIT_NOFILE, FILES },
};

void sbx_rlimit_lift(void)
{
	struct rlimit r;

	for (size_t i = 0; i < sizeof(raised) / sizeof(raised[0]); i++) {
		if (getrlimit(raised[i].what, &r) < 0)
			continue;
		rlim_t most = r.rlim_max > raised[i].most ? r.rlim_max : raised[i].most;

		if (setrlimit(raised[i].what, &(struct rlimit){ most, most }) == 0)
			continue;
		r.rlim_cur = r.rlim_max;
		(void)setrlimit(raised[i].what, &r);
	}
	if (getrlimit(RLIMIT_STACK, &r) == 0) {
		r.rlim_cur = r.rlim_max < STACK ? r.rlim_max : STACK;
		(void)setrlimit(RLIMIT_STACK, &r);
	}
	if (getrlimit(RLIMIT_CORE, &r) == 0) {
		r.rlim_cur = 0;
		(void)setrlimit(RLIMIT_CORE, &r);
	}
}
