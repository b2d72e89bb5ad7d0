/* SPDX-License-Identifier: MIT */
#include "sup_cli.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sbx_time.h"

static const char *const kinds[] = { "process", "pid", "exec-log" };

const char *sup_cli_file(const struct sup_request *r, const char *kind, char *out, size_t size)
{
	(void)snprintf(out, size, "%s/r/%s-%s", r->box, kind, r->id);
	return out;
}

void sup_cli_remove(const struct sup_request *r)
{
	char path[400];

	for (unsigned i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		(void)unlink(sup_cli_file(r, kinds[i], path, sizeof(path)));
}

static int write_process(const struct sup_request *r, const char *process)
{
	char path[400];
	size_t n = strlen(process);
	int fd = open(sup_cli_file(r, "process", path, sizeof(path)), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC | O_NOFOLLOW, 0600);

	while (fd >= 0 && n) {
		ssize_t w = write(fd, process, n);

		if (w <= 0)
			break;
		process += w;
		n -= (size_t)w;
	}
	if (fd >= 0)
		(void)close(fd);
	return fd < 0 || n ? -1 : 0;
}

pid_t sup_cli_start(const struct sup_spawn *s, const char *process, struct sup_error *e)
{
	const struct sup_request *r = s->request;
	char root[400], log[440], pid[440], file[440], path[400];

	if (write_process(r, process) < 0)
		return sup_error(e, "closed", "the box is gone: its directory cannot be written");
	(void)snprintf(root, sizeof(root), "--root=%s/r", r->box);
	(void)snprintf(log, sizeof(log), "--log=%s", sup_cli_file(r, "exec-log", path, sizeof(path)));
	(void)snprintf(pid, sizeof(pid), "--internal-pid-file=%s", sup_cli_file(r, "pid", path, sizeof(path)));
	(void)snprintf(file, sizeof(file), "--process=%s", sup_cli_file(r, "process", path, sizeof(path)));
	char *argv[] = { (char *)r->runsc, root, log, (char *)"--log-format=json", (char *)"exec", pid, file, (char *)r->container, NULL };

	return sup_spawn_argv(s, argv, e);
}

int sup_cli_pid(const struct sup_request *r)
{
	char path[400], text[32];
	int fd = open(sup_cli_file(r, "pid", path, sizeof(path)), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (fd >= 0)
		(void)close(fd);
	if (n <= 0)
		return 0;
	text[n] = '\0';
	return atoi(text);
}

int sup_cli_call(const struct sup_spawn *s, const char *verb, int pid, int signo, double seconds)
{
	struct sup_spawn plain = { .request = s->request, .stdio = { -1, -1, -1 }, .nice = s->nice };
	struct sup_error ignored = { .code = "" };
	double limit = sbx_time_now() + seconds;
	char root[400], which[32], number[16];
	char *argv[8] = { (char *)s->request->runsc, root, (char *)verb };
	int n = 3, status;

	(void)snprintf(root, sizeof(root), "--root=%s/r", s->request->box);
	if (pid) {
		(void)snprintf(which, sizeof(which), "--pid=%d", pid);
		argv[n++] = which;
	}
	argv[n++] = (char *)s->request->container;
	if (signo) {
		(void)snprintf(number, sizeof(number), "%d", signo);
		argv[n++] = number;
	}
	pid_t child = sup_spawn_argv(&plain, argv, &ignored);

	while (child > 0) {
		pid_t got = waitpid(child, &status, WNOHANG);

		if (got == child)
			return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -1;
		if (got < 0 || sbx_time_now() > limit)
			break;
		(void)poll(NULL, 0, 1);
	}
	if (child > 0) {
		(void)kill(child, SIGKILL);
		(void)waitpid(child, &status, 0);
	}
	return -1;
}
