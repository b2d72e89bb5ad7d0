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

static int drop_capabilities(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[2] = { { 0 } };

	return (int)syscall(SYS_capset, &header, none);
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
