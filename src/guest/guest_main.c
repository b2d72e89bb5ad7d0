/* SPDX-License-Identifier: MIT
 *
 * sandbox-guest: the one program of ours inside a box, static, bind-mounted read-only, so that an empty rootfs will do.
 *   sandbox-guest init                                the box's first process: does nothing but take in orphans
 *   sandbox-guest own …                               a first process that gives files their owner and becomes another (guest_own.h)
 *   sandbox-guest exec CWD UID FILES FSIZE TASKS STACK SPACE GUARD TERMINAL argv…   runs a program under limits of its own; -: as the box
 *                                                     has it; TERMINAL: in one of that size (guest_terminal.c), else -
 *   sandbox-guest true                                does nothing: a first program, so that the next finds the sandbox warm
 *   sandbox-guest files UID [alone]                   files in and out, frames on stdin and stdout (guest_files.c); alone: once all
 *                                                     else but the first process is killed
 *   sandbox-guest pack DIR BYTES ENTRIES [WITHOUT…]   what is below a directory, as it goes to the next sandbox (guest_pack.c)
 *   sandbox-guest unpack DIR                          puts it in place there
 *   sandbox-guest connect PORT MILLISECONDS           stdin and stdout joined to a server inside (guest_connect.c)
 *   sandbox-guest shell                               a lease for a prepared shell, as text that it can eval (guest_shell.c)
 * What runs programs is the box's user. `init`, `files` and `exec` have a uid of their own (guest_self.h), so that what a program left
 * behind can neither end them nor speak for them; all the same, what they read was written by the guest.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guest_connect.h"
#include "guest_files.h"
#include "guest_guard.h"
#include "guest_io.h"
#include "guest_own.h"
#include "guest_pack.h"
#include "guest_self.h"
#include "guest_shell.h"
#include "guest_terminal.h"

/* The pipe over which the start is told, and what failed. Its end tells nothing: the sentry may hold it open for longer. */
#define REPORT 3
/* A prepared program has two of its own before it (pool/prepared.lua). */
#define LAST 5

static int report_fd = REPORT;
/* With a terminal the program has no stderr, and ours says the same, in words, a line each: whichever way we were started. */
static int words_fd = -1;

static __attribute__((noreturn)) void init(void)
{
	static const int ignored[] = { SIGCHLD, SIGHUP, SIGINT, SIGTERM, SIGPIPE };

	for (unsigned i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
		(void)signal(ignored[i], SIG_IGN);	/* SIGCHLD: orphans are reaped by the kernel */
	for (;;)
		(void)pause();
}

/* What failed and why, as the supervisor reads it: a letter and an errno. */
static int report(char what)
{
	unsigned char said[2] = { (unsigned char)what, what == 's' ? 0 : (unsigned char)errno };
	bool heard = words_fd >= 0 && dprintf(words_fd, "%c%s\n", what, what == 's' ? "" : strerror(errno)) > 0;

	return write(report_fd, said, sizeof(said)) == (ssize_t)sizeof(said) || heard ? 127 : 126;
}

static void limit(int what, const char *value)
{
	rlim_t n = (rlim_t)strtoull(value, NULL, 10);
	struct rlimit r = { n, n };

	if (strcmp(value, "-") != 0)
		(void)setrlimit(what, &r);
}

static volatile sig_atomic_t program;

static void pass_on(int signo)
{
	if (program > 0)
		(void)kill((pid_t)program, signo);
}

/* The program's status, when it has ended. */
static int wait_for(pid_t pid)
{
	int status = 0;

	for (pid_t got = 0; got != pid;) {
		got = waitpid(-1, &status, 0);
		if (got < 0 && errno != EINTR)
			return 126 << 8;
	}
	return status;
}

/* Ends as the program did. */
static int end_as(int status)
{
	if (WIFSIGNALED(status)) {
		struct rlimit none = { 0, 0 };

		(void)setrlimit(RLIMIT_CORE, &none);
		(void)signal(WTERMSIG(status), SIG_DFL);
		(void)kill(getpid(), WTERMSIG(status));
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : 126;
}

static const int limited[] = { RLIMIT_NOFILE, RLIMIT_FSIZE, RLIMIT_NPROC, RLIMIT_STACK, RLIMIT_AS };

#define LIMITS ((int)(sizeof(limited) / sizeof(limited[0])))

/* uid: the user's, who we are in part so far; -, whole. argv: a value for each of limited, GUARD, TERMINAL, program…   GUARD: n, no
 * namespaces; t, nor traces; -, as gVisor has it */
static __attribute__((noreturn)) void become(const char *uid, char **argv)
{
	char **program_argv = argv + LIMITS + 2;

	for (int i = 0; i < LIMITS; i++)
		limit(limited[i], argv[i]);
	if ((strcmp(uid, "-") != 0 && guest_self_end((uid_t)strtoul(uid, NULL, 10)) < 0) ||
	    (strcmp(argv[LIMITS], "-") != 0 && guest_guard(argv[LIMITS][0] == 't') < 0))
		_exit(report('f'));
	(void)report('s');
	(void)execvp(program_argv[0], program_argv);
	_exit(report('x'));
}

static bool has_limits(char **argv)
{
	for (int i = 0; i < LIMITS; i++)
		if (strcmp(argv[i], "-") != 0)
			return true;
	return false;
}

static void pass_signals_on(pid_t pid)
{
	program = pid;
	for (int signo = 1; signo < NSIG; signo++)	/* KILL and STOP cannot be; a fault of our own is no message */
		if (signo != SIGCHLD && signo != SIGSEGV && signo != SIGBUS && signo != SIGFPE && signo != SIGILL)
			(void)signal(signo, pass_on);
}

/* In a terminal. Whoever is the program's user may end us, and so hang up, but not speak for us. argv: as of become(). */
static int run_in_terminal(const char *uid, char **argv)
{
	struct guest_terminal t;

	(void)prctl(PR_SET_DUMPABLE, 0);
	if (fcntl(report_fd, F_GETFD) < 0)
		report_fd = -1;
	words_fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, LAST + 1);
	if (guest_terminal_open(&t, argv[LIMITS + 1]) < 0)
		return report('t');
	pid_t pid = strcmp(uid, "-") != 0 ? guest_self_fork((uid_t)strtoul(uid, NULL, 10)) : fork();

	if (pid == 0) {
		if (guest_terminal_enter(&t) < 0)
			_exit(report('t'));
		become(uid, argv);
	}
	if (pid < 0)
		return report('f');
	pass_signals_on(pid);
	for (int fd = STDERR_FILENO; fd <= LAST; fd++)
		if (fd != t.master && fd != t.replica && fd != t.line[0] && fd != t.line[1])
			(void)close(fd);
	(void)close(words_fd);
	return end_as(guest_terminal_serve(&t, pid));
}

/*
 * gVisor shares the limits of an exec with the whole box in its older builds, and only a fork has its own: so we stay the
 * program's parent and pass on what signals us. argv: CWD UID, and what become() takes.
 */
static int run(char **argv)
{
	const char *uid = argv[1];
	bool other = strcmp(uid, "-") != 0;
	uid_t user = other ? (uid_t)strtoul(uid, NULL, 10) : 0;

	if (fcntl(LAST, F_GETFD) >= 0)
		report_fd = LAST;
	(void)fcntl(report_fd, F_SETFD, FD_CLOEXEC);
	if (other && guest_self_become(user, false) < 0)
		return report('f');
	if (chdir(argv[0]) < 0)
		return report('c');
	if (strcmp(argv[2 + LIMITS + 1], "-") != 0)
		return run_in_terminal(uid, argv + 2);
	if (!has_limits(argv + 2))
		become(uid, argv + 2);
	pid_t pid = other ? guest_self_fork(user) : fork();

	if (pid == 0)
		become(uid, argv + 2);
	if (pid < 0)
		return report('f');
	pass_signals_on(pid);
	for (int fd = 0; fd <= LAST; fd++)
		(void)close(fd);
	return end_as(wait_for(pid));
}

static int files(const char *uid, bool alone)
{
	double now = guest_io_now();

	return guest_self_become((uid_t)strtoul(uid, NULL, 10), alone) < 0 ? 124 : guest_files(now);
}

/*
 * In the place of glibc's own (elf/dl-origin.c), which wants /proc/self/exe to be a path. It is none where gVisor was given a descriptor
 * to run (box/dial.lua), and we load nothing from beside us.
 */
const char *_dl_get_origin(void);
const char *_dl_get_origin(void)
{
	return (const char *)-1;	/* not known */
}

int main(int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "init"))
		init();
	if (argc > 2 + GUEST_OWN_WORDS && !strcmp(argv[1], "own"))
		guest_own(argc - 2, argv + 2);
	if (argc > 6 + LIMITS && !strcmp(argv[1], "exec"))
		return run(argv + 2);
	if (argc == 2 && !strcmp(argv[1], "true"))
		return 0;
	if (argc >= 3 && !strcmp(argv[1], "files"))
		return files(argv[2], argc > 3);
	if (argc == 2 && !strcmp(argv[1], "shell"))
		return guest_shell();
	if (argc == 4 && !strcmp(argv[1], "connect"))
		return guest_connect((unsigned)strtoul(argv[2], NULL, 10), (unsigned)strtoul(argv[3], NULL, 10));
	if (argc >= 5 && !strcmp(argv[1], "pack"))
		return guest_pack(argv[2], argv[3], argv[4], argv + 5);
	if (argc == 3 && !strcmp(argv[1], "unpack"))
		return guest_unpack(argv[2]);
	return 126;
}
