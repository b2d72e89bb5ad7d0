/* SPDX-License-Identifier: MIT
 *
 * bench-floor ABSTRACT SOCKET PID PROGRAM ARGUMENT: the bare protocol of gVisor's control socket, and nothing else: connect, ExecuteAsync,
 * WaitPID. Prints how many microseconds that took, and the exit status. ABSTRACT: the socket is gVisor's of 2022, in PID's
 * network namespace.
 */
#include <fcntl.h>
#include <sched.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void enter(const char *pid, const char *name, int type)
{
	char path[64];
	int fd;

	(void)snprintf(path, sizeof(path), "/proc/%.16s/ns/%s", pid, name);
	fd = open(path, O_RDONLY);
	if (fd >= 0)
		(void)setns(fd, type);
}

/* Sends a request, descriptors with it, and reads an answer into text. */
static int call(int fd, const char *request, const int *pass, unsigned n, char *text, size_t size)
{
	char control[CMSG_SPACE(sizeof(int) * 3)];
	struct iovec v = { (void *)request, strlen(request) };
	struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1 };
	ssize_t got;

	if (n) {
		m.msg_control = control;
		m.msg_controllen = sizeof(control);
		struct cmsghdr *c = CMSG_FIRSTHDR(&m);

		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * n);
		memcpy(CMSG_DATA(c), pass, sizeof(int) * n);
	}
	if (sendmsg(fd, &m, 0) < 0 || (got = read(fd, text, size - 1)) <= 0)
		return -1;
	text[got] = '\0';
	return strstr(text, "\"success\":true") ? 0 : -1;
}

int main(int argc, char **argv)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	socklen_t len = sizeof(a);
	char request[1024], answer[4096], *result;
	int null = open("/dev/null", O_RDWR), std[3] = { null, null, null };

	if (argc != 6)
		return 2;
	if (argv[1][0] == '1') {
		if (geteuid())
			enter(argv[3], "user", CLONE_NEWUSER);
		enter(argv[3], "net", CLONE_NEWNET);
		len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)snprintf(a.sun_path + 1, 64, "runsc-sandbox.box") + 1);
	} else {
		(void)snprintf(a.sun_path, sizeof(a.sun_path), "%s", argv[2]);
	}
	double began = now();
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	(void)snprintf(request, sizeof(request), "{\"method\":\"containerManager.ExecuteAsync\",\"arg\":{\"filename\":\"%s\",\"argv\":[\"%s\",\"%s\"],\"wd\":\"/\","
		       "\"KUID\":65534,\"KGID\":65534,\"Capabilities\":{\"PermittedCaps\":0,\"InheritableCaps\":0,\"EffectiveCaps\":0,\"BoundingCaps\":0,"
		       "\"AmbientCaps\":0},\"GuestFDs\":[0,1,2],\"ContainerID\":\"box\"}}", argv[4], argv[4], argv[5]);
	if (connect(fd, (struct sockaddr *)&a, len) < 0 || call(fd, request, std, 3, answer, sizeof(answer)) < 0)
		return 1;
	result = strstr(answer, "\"result\":");
	(void)snprintf(request, sizeof(request), "{\"method\":\"containerManager.WaitPID\",\"arg\":{\"PID\":%d,\"CID\":\"box\"}}", result ? atoi(result + 9) : 0);
	if (call(fd, request, NULL, 0, answer, sizeof(answer)) < 0)
		return 1;
	result = strstr(answer, "\"result\":");
	printf("%.0f %d\n", now() - began, result ? atoi(result + 9) >> 8 : 1);
	return 0;
}
