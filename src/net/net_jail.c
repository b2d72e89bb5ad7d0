/* SPDX-License-Identifier: MIT */
#include "net_jail.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net_policy.h"

/* What the loop, c-ares and glibc's readers of /etc/resolv.conf and interfaces call. */
static const int calls[] = {
	SCMP_SYS(accept4), SCMP_SYS(bind), SCMP_SYS(brk), SCMP_SYS(clock_gettime), SCMP_SYS(close), SCMP_SYS(connect),
	SCMP_SYS(epoll_create1), SCMP_SYS(epoll_ctl), SCMP_SYS(epoll_pwait), SCMP_SYS(epoll_wait), SCMP_SYS(exit), SCMP_SYS(exit_group),
	SCMP_SYS(fcntl), SCMP_SYS(fstat), SCMP_SYS(futex), SCMP_SYS(getpeername), SCMP_SYS(getpid), SCMP_SYS(getrandom),
	SCMP_SYS(getsockname), SCMP_SYS(getsockopt), SCMP_SYS(gettimeofday), SCMP_SYS(ioctl), SCMP_SYS(lseek), SCMP_SYS(madvise),
	SCMP_SYS(mmap), SCMP_SYS(mprotect), SCMP_SYS(mremap), SCMP_SYS(munmap), SCMP_SYS(newfstatat), SCMP_SYS(poll), SCMP_SYS(read),
	SCMP_SYS(readv), SCMP_SYS(recvfrom), SCMP_SYS(recvmsg), SCMP_SYS(restart_syscall), SCMP_SYS(rt_sigreturn), SCMP_SYS(sendmmsg),
	SCMP_SYS(sendmsg), SCMP_SYS(sendto), SCMP_SYS(setsockopt), SCMP_SYS(shutdown), SCMP_SYS(splice), SCMP_SYS(stat),
	SCMP_SYS(statx), SCMP_SYS(uname), SCMP_SYS(write), SCMP_SYS(writev),
};

static const scmp_datum_t families[] = { AF_INET, AF_INET6, AF_NETLINK };

static int filter_calls(void)
{
	scmp_filter_ctx f = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	int rc = f ? 0 : -1;

	for (size_t i = 0; rc == 0 && i < sizeof(calls) / sizeof(calls[0]); i++)
		rc = seccomp_rule_add(f, SCMP_ACT_ALLOW, calls[i], 0);
	/* What connections, names and the list of the host's addresses take. */
	for (size_t i = 0; rc == 0 && i < sizeof(families) / sizeof(families[0]); i++)
		rc = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1, SCMP_A0(SCMP_CMP_EQ, families[i]));
	/* Limits are read, and those of nobody else. */
	if (rc == 0)
		rc = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), 2, SCMP_A0(SCMP_CMP_EQ, 0), SCMP_A2(SCMP_CMP_EQ, 0));
	/* Files are read, and none is made. */
	if (rc == 0)
		rc = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(openat), 1, SCMP_A2(SCMP_CMP_MASKED_EQ, O_ACCMODE | O_CREAT, O_RDONLY));
	if (rc == 0)
		rc = seccomp_load(f);
	seccomp_release(f);
	return rc;
}

static int bound(int resource, rlim_t most)
{
	struct rlimit r;

	if (getrlimit(resource, &r) < 0)
		return -1;
	r.rlim_max = r.rlim_max < most ? r.rlim_max : most;
	r.rlim_cur = r.rlim_max;
	return setrlimit(resource, &r);
}

static int become(uid_t uid, gid_t gid)
{
	for (int cap = 0; prctl(PR_CAPBSET_READ, cap) >= 0; cap++)
		if (prctl(PR_CAPBSET_DROP, cap) < 0)
			return -1;
	return setgroups(0, NULL) < 0 || setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0 ? -1 : 0;
}

int net_jail_enter(uid_t uid, gid_t gid, const char **what)
{
	*what = "another user";
	if (geteuid() == 0 && become(uid, gid) < 0)
		return -1;
	*what = "limits";
	if (bound(RLIMIT_CORE, 0) < 0 || bound(RLIMIT_NOFILE, 2 * NET_CONNECTIONS_MAX + 128) < 0 || bound(RLIMIT_FSIZE, 0) < 0)
		return -1;
	*what = "a seccomp filter";
	if (prctl(PR_SET_DUMPABLE, 0) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -1;
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);	/* after the change of user, which undoes it */
	return filter_calls();
}
