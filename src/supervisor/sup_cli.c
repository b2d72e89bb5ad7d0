/* SPDX-License-Identifier: MIT */
#include "sup_cli.h"

#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sbx_time.h"

static const char *const kinds[] = { "process", "pid", "exec-log" };

/* A program's file in it. */
static const char *name_of(const struct sup_request *r, const char *kind, char *out, size_t size)
{
	(void)snprintf(out, size, "r/%s-%s", kind, r->id);
	return out;
}

size_t sup_cli_read(const struct sup_dir *box, const struct sup_request *r, const char *kind, char *out, size_t size)
{
	char name[96];

	return sup_dir_read(box, name_of(r, kind, name, sizeof(name)), out, size);
}

void sup_cli_remove(const struct sup_dir *box, const struct sup_request *r)
{
	char name[96];

	for (unsigned i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		(void)unlinkat(box->fd, name_of(r, kinds[i], name, sizeof(name)), 0);
}

pid_t sup_cli_start(const struct sup_spawn *s, const struct sup_dir *box, const char *process, struct sup_error *e)
{
	const struct sup_request *r = s->request;
	char root[400], log[440], pid[440], file[440], name[96], path[400];

	if (sup_dir_write(box, name_of(r, "process", name, sizeof(name)), process, strlen(process)) < 0)
		return sup_error(e, "closed", "the box is gone: its directory cannot be written");
	(void)snprintf(file, sizeof(file), "--process=%s", sup_dir_at(box, name, path, sizeof(path)));
	(void)snprintf(root, sizeof(root), "--root=%s/r", r->box);
	(void)snprintf(log, sizeof(log), "--log=%s", sup_dir_at(box, name_of(r, "exec-log", name, sizeof(name)), path, sizeof(path)));
	(void)snprintf(pid, sizeof(pid), "--internal-pid-file=%s", sup_dir_at(box, name_of(r, "pid", name, sizeof(name)), path, sizeof(path)));
	char *argv[] = { (char *)r->runsc, root, log, (char *)"--log-format=json", (char *)"exec", pid, file, (char *)r->container, NULL };

	return sup_spawn_argv(s, argv, e);
}

int sup_cli_pid(const struct sup_dir *box, const struct sup_request *r)
{
	char text[32];
	long pid = sup_cli_read(box, r, "pid", text, sizeof(text)) ? strtol(text, NULL, 10) : 0;

	return pid > 1 && pid <= INT32_MAX ? (int)pid : 0;
}

pid_t sup_cli_spawn(const struct sup_spawn *s, const char *verb, int pid, int signo)
{
	struct sup_spawn plain = { .request = s->request, .stdio = { -1, -1, -1 }, .nice = s->nice };
	struct sup_error ignored = { .code = "" };
	char root[400], which[32], number[16];
	char *argv[] = { (char *)s->request->runsc, root, (char *)verb, which, (char *)s->request->container, number, NULL };

	(void)snprintf(root, sizeof(root), "--root=%s/r", s->request->box);
	(void)snprintf(which, sizeof(which), "--pid=%d", pid);
	(void)snprintf(number, sizeof(number), "%d", signo);
	return sup_spawn_argv(&plain, argv, &ignored);
}

int sup_cli_call(const struct sup_spawn *s, const char *verb, int pid, int signo, double seconds)
{
	double limit = sbx_time_now() + seconds;
	pid_t child = sup_cli_spawn(s, verb, pid, signo);
	int status;

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
