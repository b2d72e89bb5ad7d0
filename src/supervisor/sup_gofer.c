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

enum { GOFER, SENTRY, TRACE };

static int add(int order, int fd, uint32_t tag)
{
	struct epoll_event e = { .events = EPOLLIN | EPOLLET, .data.u32 = tag };

	return fd < 0 ? 0 : epoll_ctl(order, EPOLL_CTL_ADD, fd, &e);
}

/* Both are watched from when both lived, or the order says nothing. */
static void watch(struct sup_gofer *g, int sentry, int trace)
{
	g->order = epoll_create1(EPOLL_CLOEXEC);
	g->told = trace < 0;
	if (g->order < 0)
		return;
	if (add(g->order, trace, TRACE) == 0 && add(g->order, sentry, SENTRY) == 0 && add(g->order, g->fd, GOFER) == 0 && !ready(sentry, 0) &&
	    !ready(g->fd, 0))
		return;
	(void)close(g->order);
	g->order = -1;
}

void sup_gofer_find(struct sup_gofer *g, pid_t runsc, int sentry, int trace)
{
	sup_meter_walk(runsc, look, g);
	if (g->pid)
		g->fd = (int)syscall(SYS_pidfd_open, g->pid, 0);
	if (g->fd >= 0 && sentry >= 0)
		watch(g, sentry, trace);
}

bool sup_gofer_ended(struct sup_gofer *g)
{
	struct epoll_event e[3];
	int n = g->fd < 0 || g->order < 0 ? 0 : epoll_wait(g->order, e, 3, 0);
	bool told = g->told;

	for (int i = 0; i < n; i++) {
		told = told || e[i].data.u32 == TRACE;
		g->outlived = g->outlived || (e[i].data.u32 == SENTRY && !g->dead);
		if (e[i].data.u32 == GOFER) {
			g->dead = true;
			g->told = told;
		}
	}
	return g->fd >= 0 && (g->dead || ready(g->fd, 0));
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

void sup_gofer_look(struct sup_gofer *g, int sentry, bool ended)
{
	if (g->fd < 0 || !exiting(g))
		return;
	(void)sup_gofer_ended(g);
	/* The gofer first: by itself it ends well, and after the guest; and runsc kills it when the sentry is dead. */
	if (sentry >= 0 && !(g->order < 0 ? ready(sentry, 0) : g->outlived)) {
		int status = status_of(g);	/* runsc may take it away as soon as it is dead */

		if (status <= 0) {
			(void)ready(g->fd, DYING_MS);
			status = status_of(g);
		}
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
