/* SPDX-License-Identifier: MIT */
#include "sup_gofer.h"

#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sbx_io.h"
#include "sup_meter.h"

void sup_gofer_init(struct sup_gofer *g)
{
	*g = (struct sup_gofer){ .fd = -1, .order = -1 };
}

static void look(pid_t pid, void *arg)
{
	struct sup_gofer *g = arg;
	char path[48], name[32];

	(void)snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)pid);
	if (!g->pid && sbx_io_read_at(AT_FDCWD, path, name, sizeof(name)) > 0 && !strcmp(name, "runsc-gofer"))
		g->pid = pid;
}

static bool ready(int fd, int ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, ms) > 0;
}

/* Both are watched from when both lived, or the order says nothing. */
static void watch(struct sup_gofer *g, int sentry)
{
	struct epoll_event first = { .events = EPOLLIN, .data.fd = g->fd }, second = { .events = EPOLLIN, .data.fd = sentry };

	g->order = epoll_create1(EPOLL_CLOEXEC);
	if (g->order < 0)
		return;
	if (epoll_ctl(g->order, EPOLL_CTL_ADD, sentry, &second) == 0 && epoll_ctl(g->order, EPOLL_CTL_ADD, g->fd, &first) == 0 && !ready(g->order, 0))
		return;
	(void)close(g->order);
	g->order = -1;
}

void sup_gofer_find(struct sup_gofer *g, pid_t runsc, int sentry)
{
	sup_meter_walk(runsc, look, g);
	if (g->pid)
		g->fd = (int)syscall(SYS_pidfd_open, g->pid, 0);
	if (g->fd >= 0 && sentry >= 0)
		watch(g, sentry);
}

/* Of the kernel's own header (linux/pidfd.h), which is newer than most. */
struct info {
	uint64_t mask, cgroup;
	uint32_t ids[11];
	int32_t status;
};
#define GET_INFO _IOWR(0xFF, 11, struct info)
#define INFO_EXIT 8u
#define PF_EXITING 4u	/* of the kernel's include/linux/sched.h */
#define DYING_MS 5000	/* a busy machine; else it is a moment */

/* Of one that was waited for, since Linux 6.15. -1: it cannot be told. */
static int status_of_gone(const struct sup_gofer *g)
{
	struct info i = { .mask = INFO_EXIT };

	return ioctl(g->fd, GET_INFO, &i) == 0 && i.mask & INFO_EXIT ? i.status : -1;
}

/* Of one that nobody has waited for yet: proc_pid_stat(5), the last field. */
static int status_of(const struct sup_gofer *g)
{
	char path[48], text[1024];

	(void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)g->pid);
	ssize_t n = sbx_io_read_at(AT_FDCWD, path, text, sizeof(text));
	const char *last = n > 0 ? strrchr(text, ' ') : NULL;

	return last && syscall(SYS_pidfd_send_signal, g->fd, 0, NULL, 0) == 0 ? atoi(last) : status_of_gone(g);
}

/* Whether it is on its way out (PF_EXITING): it closes its sockets, which the sentry sees, a moment before it is dead. */
static bool exiting(const struct sup_gofer *g)
{
	char path[48], text[1024];
	unsigned flags = 0;

	(void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)g->pid);
	const char *rest = sbx_io_read_at(AT_FDCWD, path, text, sizeof(text)) > 0 ? strrchr(text, ')') : NULL;

	return !rest || (sscanf(rest, ") %*c %*d %*d %*d %*d %*d %u", &flags) == 1 && flags & PF_EXITING);
}

/* Whether the sentry died before it: a supervisor that gets no processor may find both dead, and runsc kills what is left of the two. */
static bool outlived(const struct sup_gofer *g, int sentry)
{
	struct epoll_event e = { .data.fd = -1 };

	return g->order < 0 ? ready(sentry, 0) : epoll_wait(g->order, &e, 1, 0) == 1 && e.data.fd == sentry;
}

void sup_gofer_look(struct sup_gofer *g, int sentry, bool ended)
{
	/* The gofer first: by itself it ends well, and after the guest; and runsc kills it when the sentry is dead. */
	if (g->fd >= 0 && sentry >= 0 && exiting(g) && !outlived(g, sentry)) {
		(void)ready(g->fd, DYING_MS);
		int status = status_of(g);

		g->killed = status < 0 ? !ended : WIFSIGNALED(status);
	}
	sup_gofer_close(g);
}

void sup_gofer_close(struct sup_gofer *g)
{
	if (g->fd >= 0)
		(void)close(g->fd);
	if (g->order >= 0)
		(void)close(g->order);
	g->fd = g->order = -1;
}
