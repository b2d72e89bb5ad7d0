/* SPDX-License-Identifier: MIT */
#include "sup_spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <math.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sbx_io.h"
#include "sup_arch.h"
#include "sup_gather.h"

/* The last of the first 512. */
#define TABLE 511

static void deny_membarrier(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SUP_ARCH, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_membarrier, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = { .len = sizeof(code) / sizeof(code[0]), .filter = code };

	/* Only speed depends on it: without it a boot is slower. Root that has given up CAP_SYS_ADMIN would lose what its execve gives back. */
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog) < 0 && geteuid() != 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0)
		(void)prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog);
}

int sup_spawn_affinity(double cpus)
{
	return cpus < 1 || floor(cpus) < cpus ? -1 : 0;
}

/*
 * As many cores as cpus needs, of those that we may use: gVisor tells its guest of no more, and runtimes start that many threads.
 * Whose turn they are goes round, so that sandboxes do not all meet on the first.
 */
static void bind_cores(double cpus)
{
	cpu_set_t all, set;

	CPU_ZERO(&set);
	if (cpus <= 0 || sched_getaffinity(0, sizeof(all), &all) < 0 || ceil(cpus) >= CPU_COUNT(&all))
		return;
	int have = CPU_COUNT(&all), n = (int)ceil(cpus), first = (int)getpid() % have;

	for (int i = 0, at = 0; i < CPU_SETSIZE; i++)
		if (CPU_ISSET(i, &all)) {
			if ((at - first + have) % have < n)
				CPU_SET(i, &set);
			at++;
		}
	(void)sched_setaffinity(0, sizeof(set), &set);
}

/*
 * A file that the guest has open is one of the gofer's and one of the sentry's, each some KB of the kernel's: so many are held for
 * it at once, 16 times what one process may have open by default, or twice what was asked for.
 */
#define FILES_HELD 16384u

static void bound_files(const struct sup_request *r)
{
	struct rlimit have;
	rlim_t most = r->open_files > FILES_HELD / 2 ? 2 * r->open_files : FILES_HELD;

	if ((r->mode == SUP_MODE_RUN || r->mode == SUP_MODE_BOX) && getrlimit(RLIMIT_NOFILE, &have) == 0 && have.rlim_cur > most)
		(void)setrlimit(RLIMIT_NOFILE, &(struct rlimit){ most, most });
}

static void child(const struct sup_spawn *s, char *const argv[], pid_t parent, bool born_inside)
{
	static char *const env[] = { (char *)"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", NULL };
	sigset_t none;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(127);
	if (s->cgroup && !born_inside && !s->gather && sup_cgroup_join(s->cgroup) < 0)
		_exit(SUP_SPAWN_NO_CGROUP);
	if (s->cgroup)
		bind_cores(s->request->cpus);
	for (int i = 0; i < 3; i++) {
		int fd = s->stdio[i] >= 0 ? s->stdio[i] : open("/dev/null", O_RDWR);

		if (fd < 0 || dup2(fd, i) < 0)
			_exit(127);
	}
	/*
	 * runsc moves its streams to descriptor 256 in a process that has threads already, and to grow a table that others share
	 * waits for an RCU grace period, some 10 ms: it inherits one that is large enough. Where so many may not be, it is slower.
	 */
	(void)fcntl(open("/dev/null", O_RDWR | O_CLOEXEC), F_DUPFD, TABLE);
	bound_files(s->request);
	(void)setpriority(PRIO_PROCESS, 0, s->nice);
	/* Where the machine has no memory left, the sandbox goes before its host does. */
	(void)sbx_io_write_at(AT_FDCWD, "/proc/self/oom_score_adj", O_WRONLY, "1000", 4);
	deny_membarrier();
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	execve(argv[0], argv, env);
	_exit(errno == ENOENT || errno == EACCES ? 127 : SUP_SPAWN_NO_EXEC);
}

/* A fork whose child is in the cgroup from its first instruction (v2, Linux 5.7); -1: it cannot be had. */
static pid_t fork_into(int cgroup)
{
	struct clone_args args = { .flags = CLONE_INTO_CGROUP, .exit_signal = SIGCHLD, .cgroup = (uint64_t)cgroup };

	return cgroup < 0 ? -1 : (pid_t)syscall(SYS_clone3, &args, sizeof(args));
}

pid_t sup_spawn_argv(const struct sup_spawn *s, char *const argv[], struct sup_error *e)
{
	int place = s->cgroup ? sup_cgroup_birthplace(s->cgroup) : -1;
	pid_t parent = getpid(), pid = fork_into(place);
	bool inside = pid >= 0;

	if (pid < 0)
		pid = fork();
	if (pid == 0)
		child(s, argv, parent, inside);
	if (pid < 0)
		return sup_error(e, "system", "cannot start a process: %s", strerror(errno));
	if (s->gather && sup_gather_child(s->cgroup, pid, e) < 0) {
		(void)kill(pid, SIGKILL);
		return -1;
	}
	return pid;
}

/* runsc, the request's arguments, and these; NULL: no memory. The caller frees the list. */
static char **argv_with(const struct sup_request *r, char *const more[], size_t n)
{
	char **argv = calloc(1 + r->args.n + n + 1, sizeof(*argv));

	if (!argv)
		return NULL;
	argv[0] = (char *)r->runsc;
	for (size_t i = 0; i < r->args.n; i++)
		argv[1 + i] = (char *)r->args.item[i];
	for (size_t i = 0; i < n; i++)
		argv[1 + r->args.n + i] = more[i];
	return argv;
}

static pid_t spawn_with(const struct sup_spawn *s, char *const more[], size_t n, struct sup_error *e)
{
	char **argv = argv_with(s->request, more, n);
	pid_t pid = argv ? sup_spawn_argv(s, argv, e) : sup_error(e, "system", "no memory for runsc's arguments");

	free(argv);
	return pid;
}

pid_t sup_spawn_run(const struct sup_spawn *s, const struct sup_dir *d, struct sup_error *e)
{
	static const char *const flags[] = { "--root=", "--log=", "--panic-log=", "--bundle=", "--pod-init-config=" };
	static const char *const names[] = { "r", "log", "panic", "b", "b/trace.json" };
	enum { ROOT, LOG, PANIC, BUNDLE, TRACE, TEXTS };
	char text[TEXTS][320], path[300], *more[TEXTS + 3];
	size_t n = 0;

	for (unsigned i = 0; i < TEXTS; i++)
		(void)snprintf(text[i], sizeof(text[i]), "%s%s", flags[i], sup_dir_at(d, names[i], path, sizeof(path)));
	more[n++] = text[ROOT];
	more[n++] = text[LOG];
	more[n++] = text[PANIC];
	if (s->request->trace)
		more[n++] = text[TRACE];
	more[n++] = (char *)"--log-format=json";
	more[n++] = (char *)"run";
	more[n++] = text[BUNDLE];
	more[n++] = (char *)s->request->container;
	return spawn_with(s, more, n, e);
}

pid_t sup_spawn_tool(const struct sup_spawn *s, struct sup_error *e)
{
	return spawn_with(s, NULL, 0, e);
}

pid_t sup_spawn_kill(const struct sup_spawn *s, const struct sup_dir *d, int signo, struct sup_error *e)
{
	struct sup_spawn plain = { .request = s->request, .stdio = { -1, -1, -1 }, .nice = s->nice };
	char root[400], number[16];
	char *argv[] = { (char *)s->request->runsc, root, (char *)"kill", (char *)s->request->container, number, NULL };

	(void)snprintf(root, sizeof(root), "--root=%s/r", d->path);
	(void)snprintf(number, sizeof(number), "%d", signo);
	return sup_spawn_argv(&plain, argv, e);
}
