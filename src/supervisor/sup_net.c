/* SPDX-License-Identifier: MIT */
#include "sup_net.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sbx_time.h"

#define READY_SECONDS 10.0
#define FINISH_SECONDS 5.0	/* it ends at once, but on a machine that has no time for it */
#define FULL_MS 100		/* for a host that does not read meanwhile */
#define MESSAGES 64		/* a turn */
#define ABOVE 16		/* descriptors are moved out of the way of those that they are to become */

void sup_net_init(struct sup_net *n)
{
	memset(n, 0, sizeof(*n));
	n->control = n->sockets = n->words = -1;
}

/* In the child: fd[i] becomes first + i; what else is open is close-on-exec. */
static void become(char *const argv[], const int *fd, unsigned count, int first, pid_t parent)
{
	static char *const env[] = { NULL };
	int high[3];
	sigset_t none;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(127);
	for (unsigned i = 0; i < count; i++)
		if ((high[i] = fcntl(fd[i], F_DUPFD_CLOEXEC, ABOVE)) < 0)
			_exit(126);
	for (unsigned i = 0; i < count; i++)
		if (dup2(high[i], first + (int)i) < 0)
			_exit(126);
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	execve(argv[0], argv, env);
	_exit(127);
}

static const struct sbx_net_counters *map_counters(int fd)
{
	void *page = mmap(NULL, sizeof(struct sbx_net_counters), PROT_READ, MAP_SHARED, fd, 0);

	return page == MAP_FAILED ? NULL : page;
}

/* With its page: one that a full file system has no room for would be a SIGBUS. */
static int make_counters(struct sup_net *n, int run)
{
	int fd = openat(run, "net", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	int error = fd < 0 ? 0 : posix_fallocate(fd, 0, sizeof(*n->counters));

	if (fd >= 0 && !error)
		n->counters = map_counters(fd);
	errno = error ? error : errno;
	return fd;
}

const struct sbx_net_counters *sup_net_map(int run)
{
	int fd = openat(run, "net", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	const struct sbx_net_counters *c = fd < 0 ? NULL : map_counters(fd);

	if (fd >= 0)
		(void)close(fd);
	return c;
}

void sup_net_unmap(const struct sbx_net_counters *c)
{
	if (c)
		(void)munmap((void *)c, sizeof(*c));
}

struct sbx_net_counters sup_net_between(struct sbx_net_counters before, struct sbx_net_counters after)
{
	after.connections -= before.connections;
	after.refused -= before.refused;
	after.bytes_in -= before.bytes_in;
	after.bytes_out -= before.bytes_out;
	after.exceeded -= before.exceeded;
	after.held -= before.held;
	after.lost -= before.lost;
	return after;
}

/* The uid that it becomes as root: the last of the run's own range, which no guest's user is mapped to (65535 is no uid). */
static pid_t start_serve(const struct sup_request *r, const struct sup_cgroup *cgroup, const int fd[3])
{
	char uid[16], gid[16];
	char *argv[] = { (char *)r->net, (char *)"serve", uid, gid, (char *)(r->net_resolver ? r->net_resolver : ""), NULL };
	pid_t parent = getpid(), pid;

	(void)snprintf(uid, sizeof(uid), "%u", (unsigned)(r->map_base + 65535));
	(void)snprintf(gid, sizeof(gid), "%u", (unsigned)(r->map_base + 65535));
	pid = fork();
	if (pid == 0) {
		if (sup_cgroup_join(cgroup) < 0)
			_exit(126);
		become(argv, fd, 3, SBX_NET_CONTROL, parent);
	}
	return pid;
}

int sup_net_begin(struct sup_net *n, const struct sup_request *r, const struct sup_dir *d, const struct sup_cgroup *cgroup, struct sup_error *e)
{
	int control[2] = { -1, -1 }, sockets[2] = { -1, -1 }, counters = -1;

	if (access(r->net, X_OK) < 0)
		return sup_error(e, "not_supported", "a network of its own needs sandbox-net, and %s: %s (it is built where libc-ares-dev,"
				 " libmnl-dev, libnftnl-dev and libseccomp-dev are installed: install them, and make again)", r->net, strerror(errno));
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, control) == 0 &&
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) == 0 && (counters = make_counters(n, d->fd)) >= 0 && n->counters) {
		int fd[3] = { control[1], sockets[1], counters };

		n->serve = start_serve(r, cgroup, fd);
	}
	int saved = errno;

	if (control[1] >= 0)
		(void)close(control[1]);
	if (sockets[1] >= 0)
		(void)close(sockets[1]);
	if (counters >= 0)
		(void)close(counters);
	n->control = control[0];
	n->sockets = sockets[0];
	if (n->serve <= 0)
		return sup_error(e, "system", "cannot start sandbox-net: %s", strerror(saved));
	return 0;
}

int sup_net_policy(struct sup_net *n, const void *text, size_t len)
{
	ssize_t sent;

	do
		sent = n->control < 0 ? -1 : send(n->control, text, len, MSG_NOSIGNAL);
	while (sent < 0 && n->control >= 0 && errno == EINTR);
	return sent < 0 ? -1 : 0;
}

int sup_net_link(struct sup_net *n, const struct sup_request *r, struct sup_error *e)
{
	char bits[8];
	char *argv[] = { (char *)r->net, (char *)"link", (char *)r->net_guest, (char *)r->net_edge, bits, (char *)(r->net_mac ? r->net_mac : "-"),
			 (char *)(r->net_ipv6 ? "1" : "0"), NULL };
	int words[2];
	pid_t parent = getpid();

	(void)snprintf(bits, sizeof(bits), "%u", (unsigned)r->net_bits);
	if (pipe2(words, O_CLOEXEC) < 0)
		return sup_error(e, "system", "cannot make a pipe: %s", strerror(errno));
	n->link = fork();
	if (n->link == 0) {
		if (dup2(words[1], 1) < 0)
			_exit(126);
		become(argv, &n->sockets, 1, SBX_NET_CONTROL, parent);
	}
	(void)close(words[1]);
	n->words = words[0];
	return n->link < 0 ? sup_error(e, "system", "cannot start sandbox-net: %s", strerror(errno)) : 0;
}

/* A message of items; the value of one, or NULL. */
static const char *item(const char *text, size_t len, const char *wanted)
{
	const char *key, *value;
	size_t pos = 0, klen;

	while (sbx_wire_next_item(text, len, &pos, &key, &klen, &value) > 0)
		if (sbx_wire_is_key(wanted, key, klen))
			return value;
	return NULL;
}

/* Its words until it has said "ready"; the others are part of that. */
static int hear_ready(struct sup_net *n, struct sup_error *e)
{
	double limit = sbx_time_now() + READY_SECONDS;
	char text[2048];

	for (;;) {
		struct pollfd p = { .fd = n->control, .events = POLLIN };
		double left = limit - sbx_time_now();

		if (left <= 0 || (poll(&p, 1, (int)(left * 1000) + 1) < 0 && errno != EINTR))
			return sup_error(e, "system", "sandbox-net is not ready in time");
		ssize_t got = recv(n->control, text, sizeof(text), MSG_DONTWAIT);
		const char *say = got > 0 ? item(text, (size_t)got, "say") : "";

		if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
			return sup_net_gone(e);
		if (got > 0 && say && !strcmp(say, "ready"))
			return 0;
		if (got > 0 && say && !strcmp(say, "error"))
			return sup_error(e, "not_supported", "sandbox-net cannot begin: %.200s", item(text, (size_t)got, "text"));
	}
}

int sup_net_gone(struct sup_error *e)
{
	return sup_error(e, "not_supported", "sandbox-net does not run: is one of its libraries missing (Debian's libc-ares2, libmnl0, libnftnl11,"
			 " libseccomp2)?");
}

int sup_net_ready(struct sup_net *n, const struct sup_dir *d, struct sup_error *e)
{
	char words[256], path[320];
	ssize_t got = read(n->words, words, sizeof(words) - 1);	/* its end, at the latest */

	if (got > 0) {
		words[got] = '\0';
		return sup_error(e, "not_supported", "a network of its own cannot be made: %s", words);
	}
	if (hear_ready(n, e) < 0)
		return -1;
	int fd = open(sup_dir_at(d, "m/netns", path, sizeof(path)), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0444);

	if (fd < 0 || mount("/proc/self/ns/net", path, NULL, MS_BIND, NULL) < 0) {
		int saved = errno;

		if (fd >= 0)
			(void)close(fd);
		return sup_error(e, "not_supported", "cannot name a network namespace: %s", strerror(saved));
	}
	(void)close(fd);
	/*
	 * Builds before release-20240807.0 take a namespace that shows rmem_default for the first one, and newer kernels show it in
	 * each. Where it cannot be covered they say so themselves.
	 */
	(void)mount("tmpfs", "/proc/sys/net/core", "tmpfs", MS_RDONLY, NULL);
	return 0;
}

void sup_net_read(struct sup_net *n, struct sup_host *h)
{
	char text[SBX_NET_TELL];

	/* While there is no room it is left to wait, and counts what it cannot tell. */
	for (unsigned i = 0; i < MESSAGES && n->control >= 0 && sup_host_room(h); i++) {
		ssize_t got = recv(n->control, text, sizeof(text), MSG_DONTWAIT);

		if (got < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (got <= 0) {
			(void)close(n->control);
			n->control = -1;
			n->failed = true;
			return;
		}
		if (!sup_host_put(h, SBX_WIRE_NETWORK, text, (uint32_t)got))
			n->lost++;
	}
}

/* Its last words: what one turn brings of them, as soon as there is something, or room for it. false: no more is to be waited for. */
static bool finish_turn(struct sup_net *n, struct sup_host *h)
{
	bool room = sup_host_room(h);
	struct pollfd p = { .fd = room ? n->control : h->fd, .events = room ? POLLIN : POLLOUT };
	int ms = room ? (int)(FINISH_SECONDS * 1000) : FULL_MS;

	if (poll(&p, 1, ms) <= 0)
		return room;
	if (room)
		sup_net_read(n, h);
	return room || sup_host_flush(h) == 0;
}

void sup_net_finish(struct sup_net *n, struct sup_host *h)
{
	double limit = sbx_time_now() + FINISH_SECONDS;
	bool failed = n->failed;

	if (n->control < 0)
		return;
	(void)shutdown(n->control, SHUT_WR);
	while (n->control >= 0 && sbx_time_now() < limit && finish_turn(n, h))
		;
	n->failed = failed;
}

void sup_net_reaped(struct sup_net *n, pid_t pid)
{
	if (pid == n->serve)
		n->serve = 0;
	if (pid == n->link)
		n->link = 0;
}

void sup_net_destroy(struct sup_net *n)
{
	const pid_t pids[] = { n->serve, n->link };
	const int fds[] = { n->control, n->sockets, n->words };

	for (unsigned i = 0; i < 2; i++)
		if (pids[i] > 0)
			(void)kill(pids[i], SIGKILL);
	for (unsigned i = 0; i < 3; i++)
		if (fds[i] >= 0)
			(void)close(fds[i]);
	sup_net_unmap(n->counters);
	sup_net_init(n);
}
