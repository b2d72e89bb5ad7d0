/* SPDX-License-Identifier: MIT
 *
 * A guest that does what it is told, in order: soak STEP [NUMBER] STEP [NUMBER]…; scripts/soak.sh starts it in sandboxes and knows
 * what must come of it. A step that finds what should not be ends it with 90 and more.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PIECE 65536

static unsigned char piece[PIECE];

static void fail(int status) { _exit(status); }

/* n bytes whose k-th is k modulo 251, so that one that is lost, doubled or moved is seen. */
static void pattern(int fd, long n)
{
	for (long at = 0; at < n;) {
		long size = n - at < PIECE ? n - at : PIECE;

		for (long i = 0; i < size; i++)
			piece[i] = (unsigned char)((at + i) % 251);
		for (long done = 0; done < size;) {
			ssize_t wrote = write(fd, piece + done, (size_t)(size - done));

			if (wrote < 0)
				fail(91);
			done += wrote;
		}
		at += size;
	}
}

static void out(long n) { pattern(1, n); }
static void err(long n) { pattern(2, n); }

static void end(long n) { _exit((int)n); }

static void raise_signal(long n)
{
	(void)signal((int)n, SIG_DFL);
	(void)kill(getpid(), (int)n);
	fail(92);
}

static void forever(long n)
{
	if (n)
		for (int s = 1; s < 32; s++)
			(void)signal(s, SIG_IGN);
	for (;;)
		(void)pause();
}

static void *spin(void *unused)
{
	for (volatile long i = 0;; i++)
		;
	return unused;
}

static void burn(long threads)
{
	pthread_t t;

	for (long i = 1; i < threads; i++)
		(void)pthread_create(&t, NULL, spin, NULL);
	(void)spin(NULL);
}

static void hog(long n)
{
	(void)n;
	for (;;) {
		char *at = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (at == MAP_FAILED)
			forever(0);
		memset(at, 1, 1 << 20);
	}
}

/* Memory within the limit, for a moment. */
static void use(long n)
{
	char *at = mmap(NULL, (size_t)n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (at == MAP_FAILED)
		fail(93);
	memset(at, 1, (size_t)n);
	(void)munmap(at, (size_t)n);
}

/* As many children as it may have, which are then gone. */
static void forks(long n)
{
	static pid_t child[4096];
	int i = 0;

	for (; i < 4096 && (child[i] = fork()) > 0; i++)
		;
	if (i < 4096 && child[i] == 0)
		forever(0);
	if (i == 4096 || errno != EAGAIN || i >= n)
		fail(94);
	while (i-- > 0)
		if (kill(child[i], SIGKILL) < 0 || waitpid(child[i], NULL, 0) != child[i])
			fail(95);
}

/* Lives on when the program has ended, with its stdout in hand or without. */
static void daemon_left(long quiet)
{
	pid_t pid = fork();

	if (pid < 0)
		fail(96);
	if (pid == 0) {
		(void)setsid();
		if (fork() != 0)
			_exit(0);
		if (quiet)
			for (int fd = 0; fd < 3; fd++)
				(void)close(fd);
		forever(1);
	}
	if (waitpid(pid, NULL, 0) != pid)
		fail(96);
}

/* Every descriptor that it may have: the last one's number is its limit less one. */
static void descriptors(long n)
{
	int fd, last = -1;

	while ((fd = open("/dev/null", O_RDONLY)) >= 0)
		last = fd;
	if (errno != EMFILE || last != n - 1)
		fail(97);
	for (fd = 3; fd <= last; fd++)
		(void)close(fd);
}

static void fill(long n)
{
	int fd = open("/tmp/fill", O_CREAT | O_RDWR, 0600);
	ssize_t wrote;

	(void)n;
	while (fd >= 0 && (wrote = write(fd, piece, PIECE)) > 0)
		;
	if (fd < 0 || errno != ENOSPC || unlink("/tmp/fill") < 0)
		fail(98);
	(void)close(fd);
}

static void copy(long n)
{
	ssize_t got;

	(void)n;
	while ((got = read(0, piece, PIECE)) > 0)
		for (ssize_t done = 0; done < got;) {
			ssize_t wrote = write(1, piece + done, (size_t)(got - done));

			if (wrote < 0)
				fail(91);
			done += wrote;
		}
	if (got < 0)
		fail(99);
}

static void file(long n)
{
	int fd = open("made", O_CREAT | O_WRONLY | O_TRUNC, 0600);

	if (fd < 0)
		fail(89);
	pattern(fd, n);
	(void)close(fd);
}

static void flood(long n)
{
	(void)n;
	pattern(1, 1L << 60);
}

static void closed(long n)
{
	(void)n;
	for (int fd = 0; fd < 3; fd++)
		(void)close(fd);
}

static const struct {
	const char *name;
	void (*run)(long n);
} steps[] = {
	{ "out", out }, { "err", err }, { "exit", end }, { "signal", raise_signal }, { "forever", forever }, { "burn", burn }, { "hog", hog }, { "use", use },
	{ "forks", forks }, { "daemon", daemon_left }, { "descriptors", descriptors }, { "fill", fill }, { "copy", copy }, { "file", file },
	{ "flood", flood }, { "close", closed },
};

int main(int argc, char **argv)
{
	for (int i = 1; i + 1 < argc; i += 2) {
		size_t k = 0;

		while (k < sizeof(steps) / sizeof(steps[0]) && strcmp(argv[i], steps[k].name))
			k++;
		if (k == sizeof(steps) / sizeof(steps[0]))
			return 88;
		steps[k].run(atol(argv[i + 1]));
	}
	return 0;
}
