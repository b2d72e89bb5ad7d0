/* SPDX-License-Identifier: MIT */
#include "sup_zygote.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sbx_fdpass.h"
#include "sbx_launch.h"
#include "sup_privilege.h"
#include "sup_run.h"

bool sup_zygote_asked(int control)
{
	int type = 0;
	socklen_t len = sizeof(type);

	return getsockopt(control, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_SEQPACKET;
}

/* No process to be had: the host is told as if by a supervisor. Takes the connection. */
static void refuse(int fd, int err)
{
	static struct sup_host host;
	static struct sup_run run;

	if (sup_host_init(&host, fd, -1) == 0) {
		sup_run_init(&run, &host);
		(void)sup_error(&run.error, "system", "cannot fork a supervisor: %s", strerror(err));
		(void)sup_report(&run);
		(void)sup_host_flush(&host);
		sup_run_destroy(&run);	/* no teardown: that kills what is below us, and that is others' */
	}
	sup_host_destroy(&host);
}

static void put_at(int fd, int place)
{
	if (fd < 0 || fd == place)
		return;
	(void)dup2(fd, place);
	(void)close(fd);
}

/* In the child: what was the zygote's is let go. */
static void become_supervisor(const int fd[2], int host)
{
	sup_privilege_restore();
	(void)signal(SIGCHLD, SIG_DFL);
	if (host >= 0)
		(void)close(host);
	put_at(fd[0], SBX_LAUNCH_CONTROL);
	put_at(fd[1], SBX_LAUNCH_LINE);
}

bool sup_zygote_serve(int control)
{
	int host = sup_host_pidfd(control);

	(void)setsid();
	(void)signal(SIGCHLD, SIG_IGN);	/* nobody asks how they ended */
	/* Whoever woke us goes on first: a host in the middle of its own work (sched(7)). A supervisor takes it back when it starts. */
	if (sched_getscheduler(0) == SCHED_OTHER)
		(void)sched_setscheduler(0, SCHED_BATCH, &(struct sched_param){ .sched_priority = 0 });
	sup_privilege_keep(SUP_PRIVILEGE_ZYGOTE);
	for (;;) {
		struct pollfd p[2] = { { .fd = control, .events = POLLIN }, { .fd = host, .events = POLLIN } };

		if (poll(p, 2, -1) < 0 && errno != EINTR)
			return false;
		if (p[1].revents)
			return false;
		if (!p[0].revents)
			continue;
		int fd[2] = { -1, -1 };

		if (sbx_fdpass_receive(control, fd, 2) < 1)
			return false;
		pid_t pid = fork();

		if (pid == 0) {
			become_supervisor(fd, host);
			return true;
		}
		if (pid < 0)
			refuse(fd[0], errno);
		else
			(void)close(fd[0]);
		if (fd[1] >= 0)
			(void)close(fd[1]);
	}
}
