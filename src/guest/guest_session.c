/* SPDX-License-Identifier: MIT */
#include "guest_session.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

/* Who is stopped, or killed, does not answer. */
#define ANSWER_MS 1000

static void drop(int signo)
{
	(void)signo;
}

static bool take_pending(int signo)
{
	sigset_t pending;

	bool there = sigpending(&pending) == 0 && sigismember(&pending, signo);

	(void)signal(signo, SIG_IGN);	/* which forgets it */
	(void)signal(signo, SIG_DFL);
	return there;
}

/* Nobody else is in the session yet: what a signal character or another size does is seen in what waits for us. */
static int look(int master, const struct winsize *size)
{
	struct termios modes, bare;
	sigset_t watched, before;
	int does = 0;
	char echo;

	(void)sigemptyset(&watched);
	(void)sigaddset(&watched, SIGINT);
	(void)sigaddset(&watched, SIGWINCH);
	(void)sigprocmask(SIG_BLOCK, &watched, &before);
	(void)signal(SIGWINCH, drop);	/* else it need not even wait */
	(void)ioctl(master, TIOCSWINSZ, size);
	does |= take_pending(SIGWINCH) ? GUEST_SESSION_SIZES : 0;
	if (tcgetattr(0, &modes) == 0) {
		bare = modes;
		bare.c_lflag = ISIG;
		(void)tcsetattr(0, TCSANOW, &bare);
		(void)fcntl(0, F_SETFL, O_RDWR | O_NONBLOCK);
		if (write(master, &modes.c_cc[VINTR], 1) == 1)
			does |= take_pending(SIGINT) ? GUEST_SESSION_SIGNALS : 0;
		while (read(0, &echo, 1) > 0)
			does &= ~GUEST_SESSION_SIGNALS;	/* that of 2024 takes it for a character, too */
		(void)fcntl(0, F_SETFL, O_RDWR);
		(void)tcsetattr(0, TCSANOW, &modes);
	}
	(void)sigprocmask(SIG_SETMASK, &before, NULL);
	return does;
}

/* Ends with the helper, whose end of the line that ends. */
static __attribute__((noreturn)) void serve(int line)
{
	sigset_t all;
	unsigned char signo;

	(void)sigfillset(&all);
	(void)sigprocmask(SIG_BLOCK, &all, NULL);
	(void)setpgid(0, 0);
	/* Builds before 2026 make us a child of the program to be, which is not to find it. */
	if (getppid() == getsid(0) && fork() != 0)
		_exit(0);
	while (read(line, &signo, 1) == 1) {
		pid_t group = tcgetpgrp(0);

		if (group > 1)
			(void)kill(-group, signo);
		if (signo == SIGHUP) {
			(void)kill(getsid(0), SIGHUP);
			if (group > 1)
				(void)kill(-group, SIGCONT);
		}
		(void)!write(line, &signo, 1);
	}
	_exit(0);
}

void guest_session_begin(int master, const struct winsize *size, int line)
{
	unsigned char does = (unsigned char)look(master, size);
	uid_t real, user, saved;

	(void)!write(line, &does, 1);
	if (does == GUEST_SESSION_ALL || getresuid(&real, &user, &saved) < 0)
		return;
	/* As whom the helper is: neither counted among the user's, nor the user's to end. (The C library's own would do it for threads.) */
	(void)syscall(SYS_setresuid, saved, user, saved);
	pid_t pid = (pid_t)syscall(SYS_clone, CLONE_PARENT | SIGCHLD, NULL, NULL, NULL, NULL);

	if (pid == 0) {
		(void)close(master);
		(void)close(1);
		(void)close(2);
		serve(line);
	}
	if (pid > 0)
		(void)waitpid(pid, NULL, 0);
	(void)syscall(SYS_setresuid, real, user, saved);
}

int guest_session_does(int line)
{
	unsigned char does;
	ssize_t n;

	while ((n = read(line, &does, 1)) < 0 && errno == EINTR)
		;
	return n == 1 ? does : GUEST_SESSION_ALL;
}

void guest_session_signal(int line, int signo)
{
	unsigned char byte = (unsigned char)signo;
	struct pollfd done = { .fd = line, .events = POLLIN };

	/* What is typed next is for whoever is in the foreground after that. */
	if (send(line, &byte, 1, MSG_NOSIGNAL | MSG_DONTWAIT) == 1 && poll(&done, 1, ANSWER_MS) > 0)
		(void)!read(line, &byte, 1);
}
