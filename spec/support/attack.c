/* SPDX-License-Identifier: MIT
 *
 * What a hostile guest does, by name: attack NAME [NUMBER]. spec/security starts it in real sandboxes.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/ptrace.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MANY 20

static char bytes[1 << 20];

/* So many processes, each with descriptors of its own, do the same. */
static void spread(void)
{
	for (int i = 1; i < MANY && fork(); i++)
		;
}

static int hold(void)
{
	while (pause() < 0)
		;
	return 0;
}

static int pipes(long n)
{
	int f[2];

	(void)n;
	spread();
	while (pipe2(f, O_NONBLOCK) == 0) {
		(void)fcntl(f[1], F_SETPIPE_SZ, 1 << 20);
		while (write(f[1], bytes, 65536) > 0)
			;
	}
	return hold();
}

static int sockets(long n)
{
	int f[2], size = 1 << 23;

	(void)n;
	spread();
	while (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, f) == 0) {
		(void)setsockopt(f[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
		while (send(f[0], bytes, 65536, MSG_DONTWAIT) > 0)
			;
	}
	return hold();
}

static int memfds(long n)
{
	int f;

	(void)n;
	while ((f = memfd_create("x", 0)) >= 0)
		for (int i = 0; i < 64 && write(f, bytes, sizeof(bytes)) > 0; i++)
			;
	return hold();
}

static int sysv_memory(long n)
{
	(void)n;
	for (;;) {
		int id = shmget(IPC_PRIVATE, 16 << 20, IPC_CREAT | 0600);
		char *at = id < 0 ? (char *)-1 : shmat(id, NULL, 0);

		if (at == (char *)-1)
			return hold();
		memset(at, 1, 16 << 20);
		(void)shmdt(at);
	}
}

static int messages(long n)
{
	struct { long type; char text[8192]; } m = { .type = 1 };
	int id;

	(void)n;
	while ((id = msgget(IPC_PRIVATE, IPC_CREAT | 0600)) >= 0)
		while (msgsnd(id, &m, sizeof(m.text), IPC_NOWAIT) == 0)
			;
	return hold();
}

/* A file as large as can be, its pages touched one after the other. */
static int mapped(long n)
{
	int f = open("sparse", O_CREAT | O_RDWR, 0666);
	long size = 1L << 36;

	(void)n;
	if (ftruncate(f, size) < 0)
		return 1;
	char *at = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, f, 0);

	for (long i = 0; at != MAP_FAILED && i < size; i += 4096)
		at[i] = 1;
	return 1;
}

/* Files of which no name is left. */
/* Until it is told that there is no room, which a short write does not say. */
static int unlinked(long n)
{
	(void)n;
	for (long kept = 0;; kept++) {
		int f = open("u", O_CREAT | O_RDWR, 0666);
		ssize_t wrote = f < 0 || unlink("u") < 0 ? -1 : 0;

		for (size_t at = 0; wrote >= 0 && at < sizeof(bytes); at += (size_t)wrote)
			if ((wrote = write(f, bytes + at, sizeof(bytes) - at)) < 0)
				break;
		if (wrote < 0)
			return printf("%ld\n", kept) < 0;
	}
}

static int bomb(long n)
{
	(void)n;
	(void)signal(SIGCHLD, SIG_IGN);
	while (fork() >= -1)
		;
	return 0;
}

/* Sends a signal to all that there is for ever, from a process that outlives its parent. */
static int signal_all(long n)
{
	FILE *out = fopen("out", "w");

	if (!out || fputs("hello", out) < 0 || fclose(out) < 0)
		return 1;
	pid_t child = fork();

	if (child)
		return child < 0 ? 1 : 5;
	(void)setsid();
	for (;;)
		for (pid_t p = 1; p < 200; p++)
			if (p != getpid())
				(void)kill(p, (int)n);
}

static int init(long n)
{
	(void)n;
	for (int i = 0; i < 20; i++)
		for (int s = 1; s < 32; s++)
			(void)kill(1, s);
	return 4;
}

static int without_stdio(long n)
{
	(void)n;
	for (int fd = 0; fd < 3; fd++)
		(void)close(fd);
	return 7;
}

/* Writes on when the program has ended. */
static int write_after(long n)
{
	(void)n;
	if (fork() == 0) {
		(void)setsid();
		for (;;)
			if (write(1, bytes, 4096) < 0 && write(2, bytes, 4096) < 0)
				_exit(0);
	}
	return 3;
}

/* Whatever of another process can be reached is told. */
static int others(long n)
{
	(void)n;
	for (pid_t p = 1; p < 64; p++) {
		char name[64], word[8];
		struct iovec here = { word, sizeof(word) }, there = { (void *)0x400000, sizeof(word) };

		if (p == getpid())
			continue;
		(void)snprintf(name, sizeof(name), "/proc/%d/mem", p);
		if (open(name, O_RDWR) >= 0 || kill(p, 0) == 0 || ptrace(PTRACE_ATTACH, p, NULL, NULL) == 0 ||
		    process_vm_readv(p, &here, 1, &there, 1, 0) > 0)
			(void)printf("%d ", p);
		for (int fd = 0; fd < 16; fd++) {
			(void)snprintf(name, sizeof(name), "/proc/%d/fd/%d", p, fd);
			if (open(name, O_RDWR | O_NONBLOCK) >= 0)
				(void)printf("%d:%d ", p, fd);
		}
	}
	return 0;
}

/* The namespaces that it gets; none is told as nothing. */
static int namespaces(long n)
{
	const int kinds[] = { CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWNET, CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWUSER, CLONE_NEWUSER | CLONE_NEWNS };

	(void)n;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (unshare(kinds[i]) == 0)
			(void)printf("%x ", (unsigned)kinds[i]);
	for (const char *const *name = (const char *const[]){ "user", "net", "pid", "mnt", NULL }; *name; name++) {
		char path[64];

		(void)snprintf(path, sizeof(path), "/proc/1/ns/%s", *name);
		int fd = open(path, O_RDONLY);

		if (fd >= 0 && setns(fd, 0) == 0)
			(void)printf("%s ", *name);
	}
	return 0;
}

static const struct {
	const char *name;
	int (*run)(long n);
} attacks[] = {
	{ "pipes", pipes }, { "sockets", sockets }, { "memfds", memfds }, { "sysv_memory", sysv_memory }, { "messages", messages },
	{ "mapped", mapped }, { "unlinked", unlinked }, { "bomb", bomb }, { "signal_all", signal_all }, { "init", init },
	{ "without_stdio", without_stdio }, { "write_after", write_after }, { "others", others }, { "namespaces", namespaces },
};

int main(int argc, char **argv)
{
	memset(bytes, 'x', sizeof(bytes));
	for (size_t i = 0; argc > 1 && i < sizeof(attacks) / sizeof(attacks[0]); i++)
		if (!strcmp(argv[1], attacks[i].name))
			return attacks[i].run(argc > 2 ? atol(argv[2]) : 0);
	return 99;
}
