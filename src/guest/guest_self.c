/* SPDX-License-Identifier: MIT */
#include "guest_self.h"

#include <errno.h>
#include <linux/capability.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "guest_io.h"

#define KILL_SECONDS 0.5

/* A round reaches all that there are at its moment, and those that fork meanwhile leave somebody for the next. */
static void kill_others(void)
{
	double limit = guest_io_now() + KILL_SECONDS;

	while (kill(-1, SIGKILL) == 0 && guest_io_now() < limit)
		(void)nanosleep(&(struct timespec){ .tv_nsec = 200000 }, NULL);
}

/* All but the one by which the caller's files go where the user may not write, if we were given it. */
static int drop_capabilities(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct have[2] = { { 0 } }, kept[2] = { { 0 } };

	if (syscall(SYS_capget, &header, have) == 0)
		kept[0].permitted = kept[0].effective = have[0].permitted & 1u << CAP_DAC_OVERRIDE;
	return (int)syscall(SYS_capset, &header, kept);
}

/* As lua/sandbox/run/oci.lua has it. */
static uid_t other_than(uid_t user)
{
	return user == 65535 ? 65533 : 65535;
}

int guest_self_become(uid_t user, bool alone)
{
	uid_t own = other_than(user);

	(void)prctl(PR_SET_DUMPABLE, 0);	/* what is ours in /proc belongs to root */
	if (alone)
		kill_others();
	(void)prctl(PR_SET_KEEPCAPS, 1);	/* over the change of ids; an execve ends it */
	/* The C library's own would do it for threads, of which there are none. */
	if (syscall(SYS_setresuid, own, user, own) < 0)
		return -1;
	(void)prctl(PR_SET_DUMPABLE, 0);
	return drop_capabilities();
}

pid_t guest_self_fork(uid_t user)
{
	if (syscall(SYS_setresuid, user, user, -1) < 0)
		return -1;
	pid_t pid = fork();
	int saved = errno;

	if (pid)
		(void)syscall(SYS_setresuid, other_than(user), user, -1);
	errno = saved;
	return pid;
}

int guest_self_end(uid_t user)
{
	return (int)syscall(SYS_setresuid, user, user, user);
}
