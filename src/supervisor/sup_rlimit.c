/* SPDX-License-Identifier: MIT */
#include "sup_rlimit.h"

#include <math.h>
#include <sys/resource.h>
#include <unistd.h>

#define MIB (1ull << 20)
#define GIB (1ull << 30)
/* What a boot takes of one process's CPU time, at most. */
#define BOOT_SECONDS 5

/* The guest's memory is a file, which grows by pieces of 1 GiB (gVisor, pkg/sentry/pgalloc). */
static unsigned long long file_size(const struct sup_request *r)
{
	return (r->memory / GIB + 1) * GIB;
}

/* All threads of a guest may be one process of the host's. Without an end there is no telling. */
static unsigned long long cpu_time(const struct sup_request *r)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	double most = r->cpu_time > 0 ? r->cpu_time : r->timeout > 0 ? r->timeout * (double)(cores > 0 ? cores : 1) : INFINITY;

	return most < 1e9 ? (unsigned long long)most + BOOT_SECONDS : RLIM_INFINITY;
}

/* Go reserves more than it uses, and so do programs; all that a guest maps is mapped in a process of the host's. */
static unsigned long long address_space(const struct sup_request *r)
{
	return 4 * GIB + 2 * r->memory;
}

static unsigned long long data(const struct sup_request *r)
{
	(void)r;
	return 128 * MIB;
}

static unsigned long long files(const struct sup_request *r)
{
	(void)r;
	return 512;	/* runsc's own, at 256 and above, and some for the guest */
}

static unsigned long long stack(const struct sup_request *r)
{
	(void)r;
	return MIB;
}

static const struct {
	__rlimit_resource_t what;
	const char *name, *unit;
	unsigned long long (*needed)(const struct sup_request *r);
} limits[] = {
	{ RLIMIT_FSIZE, "RLIMIT_FSIZE (ulimit -f)", "bytes", file_size },
	{ RLIMIT_AS, "RLIMIT_AS (ulimit -v)", "bytes", address_space },
	{ RLIMIT_DATA, "RLIMIT_DATA (ulimit -d)", "bytes", data },
	{ RLIMIT_CPU, "RLIMIT_CPU (ulimit -t)", "seconds", cpu_time },
	{ RLIMIT_NOFILE, "RLIMIT_NOFILE (ulimit -n)", "descriptors", files },
	{ RLIMIT_STACK, "RLIMIT_STACK (ulimit -s)", "bytes", stack },
};

int sup_rlimit_check(const struct sup_request *r, struct sup_error *e)
{
	struct rlimit have;

	for (unsigned i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		if (getrlimit(limits[i].what, &have) < 0 || have.rlim_cur == RLIM_INFINITY)
			continue;
		unsigned long long needed = limits[i].needed(r);

		if (have.rlim_cur >= needed)
			continue;
		if (needed == RLIM_INFINITY)
			return sup_error(e, "not_supported", "the calling process's %s of %llu %s would end the sandbox, for which neither"
					 " limits.cpu_time nor limits.timeout is set: raise its hard limit", limits[i].name,
					 (unsigned long long)have.rlim_cur, limits[i].unit);
		return sup_error(e, "not_supported", "the calling process's %s is %llu %s, and a sandbox of these limits needs %llu: raise"
				 " its hard limit", limits[i].name, (unsigned long long)have.rlim_cur, limits[i].unit, needed);
	}
	return 0;
}
