/* SPDX-License-Identifier: MIT */
#include "sup_refusal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/capability.h>
#include <unistd.h>

static const char filter_words[] =
	" (a seccomp filter is in force here, a container's or a service's: its profile has to allow what examples/container/seccomp.jq adds,"
	" --security-opt seccomp=PROFILE; systemd: SystemCallFilter, RestrictNamespaces)";

static void read_text(const char *path, char *buf, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, buf, size - 1);

	if (fd >= 0)
		(void)close(fd);
	buf[n > 0 ? n : 0] = '\0';
	buf[strcspn(buf, "\n")] = '\0';
}

/* proc_pid_status(5): 2 is a filter. */
static int filtered(void)
{
	char text[8192];
	int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (fd >= 0)
		(void)close(fd);
	text[n > 0 ? n : 0] = '\0';
	return strstr(text, "\nSeccomp:\t2") != NULL;
}

static int lacks(cap_value_t cap)
{
	cap_t have = cap_get_proc();
	cap_flag_value_t has = CAP_SET;

	if (have)
		(void)cap_get_flag(have, cap, CAP_EFFECTIVE, &has);
	(void)cap_free(have);
	return has == CAP_CLEAR;
}

/* The profile that confines us; false: none. */
static int confined(char *buf, size_t size)
{
	read_text("/proc/self/attr/apparmor/current", buf, size);
	return buf[0] && strncmp(buf, "unconfined", 10) != 0;
}

static void explain(enum sup_refused what, int err, int rootless, char buf[SUP_REFUSAL_MAX])
{
	char profile[128];

	buf[0] = '\0';
	if (what == SUP_REFUSED_NAMESPACE && err == ENOSPC)
		(void)snprintf(buf, SUP_REFUSAL_MAX, " (sysctl user.max_user_namespaces and its brothers allow no more of them)");
	if (err != EPERM && err != EACCES)
		return;
	/* user_namespaces(7): whoever maps the parent's uid 0 needs it, since Linux 5.12. */
	if (what == SUP_REFUSED_MAP_ROOT)
		(void)snprintf(buf, SUP_REFUSAL_MAX, " (root that maps itself needs CAP_SETFCAP: add it, in a container with --cap-add SETFCAP,"
			       " or run as an ordinary user)");
	else if (what != SUP_REFUSED_MAP && filtered())
		(void)snprintf(buf, SUP_REFUSAL_MAX, "%s", filter_words);
	else if (!rootless && lacks(CAP_SYS_ADMIN))
		(void)snprintf(buf, SUP_REFUSAL_MAX, "%s", lacks(CAP_SETFCAP) ?
			       " (what root starts here has neither CAP_SYS_ADMIN nor CAP_SETFCAP, see CapBnd in /proc/self/status: run as an ordinary user)" :
			       " (root has no CAP_SYS_ADMIN here: rootless = \"auto\" or true does without)");
	else if (confined(profile, sizeof(profile)))
		(void)snprintf(buf, SUP_REFUSAL_MAX, " (the AppArmor profile %.100s is in force here: --security-opt apparmor=unconfined, or one"
			       " that allows userns and mount)", profile);
	else if (rootless && what == SUP_REFUSED_NAMESPACE)
		(void)snprintf(buf, SUP_REFUSAL_MAX, " (see sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone,"
			       " kernel.apparmor_restrict_unprivileged_userns)");
	else if (rootless && what != SUP_REFUSED_MOUNT)
		(void)snprintf(buf, SUP_REFUSAL_MAX, " (see sysctl kernel.apparmor_restrict_unprivileged_userns)");
}

/* Its callers say strerror(errno) beside it: what it looks at must not change that. */
const char *sup_refusal(enum sup_refused what, int err, int rootless, char buf[SUP_REFUSAL_MAX])
{
	int saved = errno;

	explain(what, err, rootless, buf);
	errno = saved;
	return buf;
}

const char *sup_refusal_of_runsc(const char *said, char buf[SUP_REFUSAL_MAX])
{
	buf[0] = '\0';
	/* mount_too_revealing in the kernel's fs/namespace.c */
	if (strstr(said, "mounting proc: operation not permitted"))
		(void)snprintf(buf, SUP_REFUSAL_MAX, " (parts of /proc are covered here, as in containers, and this build mounts one of its own:"
			       " podman's --security-opt unmask=ALL, Docker's systempaths=unconfined, systemd without ProtectKernelTunables"
			       " and ProcSubset, or runsc of 2023 or later)");
	/* PR_SET_MDWE(2const): memory that was written to may not be run any more; a systrap's stubs are made so. */
	else if (strstr(said, "mprotect failed") && !strstr(said, "cannot allocate"))
		(void)snprintf(buf, SUP_REFUSAL_MAX, " (memory may not become executable here, as with systemd's MemoryDenyWriteExecute=yes:"
			       " gVisor's platforms need that)");
	else if (strstr(said, "operation not permitted") && filtered())
		(void)snprintf(buf, SUP_REFUSAL_MAX, "%s", filter_words);
	return buf;
}
