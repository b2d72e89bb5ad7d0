/* SPDX-License-Identifier: MIT */
#include "img_tool.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "img_say.h"

#define TICK_MS 250	/* between two looks at what has come */

/* Never by $PATH: it may run as root. */
static int find(const char *name, char path[64])
{
	static const char *const dirs[] = { "/usr/bin", "/bin", "/usr/sbin", "/sbin", "/usr/local/bin" };

	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++) {
		(void)snprintf(path, 64, "%s/%s", dirs[i], name);
		if (access(path, X_OK) == 0)
			return 0;
	}
	return -1;
}

/* In the child: the streams, a bound for each file, and death with us. */
static void become(const char *path, const char *const argv[], int in, int out, int err, uint64_t max, pid_t parent)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent || null < 0)
		_exit(127);
	if (dup2(in < 0 ? null : in, 0) < 0 || dup2(out < 0 ? null : out, 1) < 0 || dup2(err < 0 ? null : err, 2) < 0)
		_exit(127);
	if (max)
		(void)setrlimit(RLIMIT_FSIZE, &(struct rlimit){ max, max });
	(void)setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
	execv(path, (char *const *)argv);
	_exit(127);
}

static pid_t begin(const char *path, const char *const argv[], int in, int out, int err, uint64_t max)
{
	pid_t parent = getpid(), pid = fork();

	if (pid == 0)
		become(path, argv, in, out, err, max, parent);
	return pid;
}

/* Of the files in it: it is the blobs' directory of a layout, which has no others. */
static uint64_t bytes_in(int dir)
{
	int copy = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = copy < 0 ? NULL : fdopendir(copy);
	uint64_t sum = 0;
	struct stat st;

	if (!d && copy >= 0)
		(void)close(copy);
	for (struct dirent *e; d && (e = readdir(d)) != NULL;) {
		if (e->d_name[0] == '.')
			continue;
		if (fstatat(dir, e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode))
			sum += (uint64_t)st.st_size;
		if (S_ISDIR(st.st_mode)) {
			int below = openat(dir, e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

			if (below >= 0) {
				sum += bytes_in(below);
				(void)close(below);
			}
		}
	}
	if (d)
		(void)closedir(d);
	return sum;
}

/* Keeps the end of what it says. */
static void hear(struct img_tool *t, const char *bytes, size_t n)
{
	size_t have = strlen(t->said), room = sizeof(t->said) - 1;

	if (n > room) {
		bytes += n - room;
		n = room;
	}
	if (have + n > room) {
		size_t drop = have + n - room;

		memmove(t->said, t->said + drop, have - drop);
		have -= drop;
	}
	for (size_t i = 0; i < n; i++)
		t->said[have + i] = bytes[i] ? bytes[i] : ' ';
	t->said[have + n] = '\0';
}

/* Until its stderr ends, which is when it does: 0, or -1 where it wrote too much. */
static int attend(struct img_tool *t, int err)
{
	uint64_t told = UINT64_MAX;

	for (;;) {
		char bytes[4096];
		int ready = poll(&(struct pollfd){ .fd = err, .events = POLLIN }, 1, TICK_MS);
		ssize_t n = ready > 0 ? read(err, bytes, sizeof(bytes)) : -1;

		if (n == 0)
			return 0;
		if (n > 0)
			hear(t, bytes, (size_t)n);
		if (ready == 0) {
			uint64_t sum = t->watch < 0 ? 0 : bytes_in(t->watch);

			if (sum != told)
				img_progress(t->phase, told = sum);
			if (t->max && sum > t->max)
				return -1;
		}
	}
}

/* Of a log line of skopeo's, time="…" level=fatal msg="…", what it says. */
static void unwrap(char *said)
{
	static const char mark[] = "level=fatal msg=\"";
	char *from = strstr(said, mark), *to = said;

	if (!from)
		return;
	for (from += sizeof(mark) - 1; *from && *from != '"'; from++) {
		if (*from == '\\' && from[1])
			from++;
		*to++ = *from;
	}
	*to = '\0';
}

int img_tool_run(struct img_tool *t, const char *const argv[])
{
	char path[64];
	int err[2], status = -1;

	t->said[0] = '\0';
	if (find(argv[0], path) < 0)
		return img_fail("not_supported", "images need %s, which is not installed: apt-get install %s", argv[0], t->package);
	if (pipe2(err, O_CLOEXEC) < 0)
		return img_fail("system", "cannot make a pipe: %s", strerror(errno));
	img_progress(t->phase, 0);
	pid_t pid = begin(path, argv, -1, -1, err[1], t->max);

	(void)close(err[1]);
	int over = pid > 0 ? attend(t, err[0]) : 0;

	(void)close(err[0]);
	if (pid < 0)
		return img_fail("system", "cannot start %s: %s", argv[0], strerror(errno));
	if (over)
		(void)kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (over || (WIFSIGNALED(status) && WTERMSIG(status) == SIGXFSZ))
		return img_fail("bad_rootfs", "the image is larger than max_image_bytes (%llu)", (unsigned long long)t->max);
	unwrap(t->said);
	img_clean(t->said);
	if (WIFSIGNALED(status))
		(void)snprintf(t->said, sizeof(t->said), "it was killed by signal %d", WTERMSIG(status));
	return status == 0 ? 0 : 1;
}

int img_tool_gunzip(int file, pid_t *pid)
{
	static const char *const argv[] = { "gzip", "-dc", NULL };
	char path[64];
	int out[2];

	if (find(argv[0], path) < 0)
		return img_fail("not_supported", "images need gzip, which is not installed: apt-get install gzip");
	if (pipe2(out, O_CLOEXEC) < 0)
		return img_fail("system", "cannot make a pipe: %s", strerror(errno));
	*pid = begin(path, argv, file, out[1], -1, 0);
	(void)close(out[1]);
	if (*pid > 0)
		return out[0];
	(void)close(out[0]);
	return img_fail("system", "cannot start gzip: %s", strerror(errno));
}

int img_tool_reap(pid_t pid)
{
	int status = -1;

	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return status;
}
