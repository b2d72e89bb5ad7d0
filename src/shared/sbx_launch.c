/* SPDX-License-Identifier: MIT */
#include "sbx_launch.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sbx_fd.h"
#include "sbx_rlimit.h"

#define STACK (64u * 1024u)

struct launch {
	const char *path;
	int control, line;
	unsigned char *inner_stack;	/* its top */
	volatile int error;		/* of the inner process, which shares our memory */
};

static void fail(struct launch *l)
{
	l->error = errno;
	_exit(errno);
}

/* A host's SIG_IGN is contagious over exec. The C library refuses the signals it keeps for itself (32 and 33), so the
 * kernel is asked: an all-zero kernel sigaction is SIG_DFL, no flags and an empty mask on every architecture. */
static void reset_signals(void)
{
	static const unsigned char dfl[64];

	for (int signo = 1; signo < NSIG; signo++)
		(void)syscall(SYS_rt_sigaction, signo, dfl, NULL, (size_t)(NSIG - 1) / 8);
}

/* In the supervisor-to-be: shares the host's memory until exec, so only system calls, and never returns. */
static int inner(void *arg)
{
	struct launch *l = arg;
	static char *const env[] = { NULL };
	char *argv[] = { (char *)l->path, NULL };
	sigset_t none;

	reset_signals();
	sbx_rlimit_lift();	/* of ours alone: threads share them, processes do not */
	/* The control socket may be any descriptor, also one of 0 to 4: out of the way first. */
	int control = fcntl(l->control, F_DUPFD_CLOEXEC, SBX_LAUNCH_LINE + 1);
	int line = l->line < 0 ? -1 : fcntl(l->line, F_DUPFD_CLOEXEC, SBX_LAUNCH_LINE + 1);
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (control < 0 || null < 0 || (l->line >= 0 && line < 0))
		fail(l);
	for (int fd = 0; fd < SBX_LAUNCH_CONTROL; fd++)
		if (null == fd ? fcntl(fd, F_SETFD, 0) < 0 : dup2(null, fd) < 0)
			fail(l);
	if (dup2(control, SBX_LAUNCH_CONTROL) < 0 || (line >= 0 && dup2(line, SBX_LAUNCH_LINE) < 0))
		fail(l);
	sbx_fd_close_from(line < 0 ? SBX_LAUNCH_LINE : SBX_LAUNCH_LINE + 1, true);
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)execve(l->path, argv, env);
	fail(l);
	return 0;
}

/* Its end sends no signal and its child is nobody's: the supervisor goes to init. Its status carries exec's errno. */
static int outer(void *arg)
{
	struct launch *l = arg;
	int status;
	pid_t pid = clone(inner, l->inner_stack, CLONE_VM | CLONE_VFORK | SIGCHLD, l);

	if (pid < 0)
		_exit(errno);
	if (l->error)
		_exit(l->error);
	/* Under valgrind, whose vfork is a fork with a memory of its own, only the status tells. */
	if (waitpid(pid, &status, WNOHANG | __WALL) == pid && WIFEXITED(status))
		_exit(WEXITSTATUS(status));
	_exit(0);
}

int sbx_launch(const char *path, int control, int line)
{
	sigset_t all, old;
	int status = 0, err = 0;
	unsigned char *stack = mmap(NULL, 2 * STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);

	if (stack == MAP_FAILED)
		return errno;
	struct launch l = { .path = path, .control = control, .line = line, .inner_stack = stack + STACK };

	/* A handler of the host must not run on our stack in a process that is not the host. */
	sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &old);
	pid_t pid = clone(outer, stack + 2 * STACK, CLONE_VM | CLONE_VFORK, &l);

	if (pid < 0)
		err = errno;
	else
		while (waitpid(pid, &status, __WALL) < 0 && errno == EINTR)
			;
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
	(void)munmap(stack, 2 * STACK);
	return err ? err : WIFEXITED(status) ? WEXITSTATUS(status) : 0;
}
