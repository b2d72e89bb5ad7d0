/* SPDX-License-Identifier: MIT */
#include "sup_run.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "sbx_time.h"
#include "sup_mount.h"
#include "sup_rlimit.h"
#include "sup_sweep.h"

/* Nothing of a killed sandbox lives this long (mechanics: 56 ms at most with 200 processes). */
#define REAP_SECONDS 10.0

void sup_run_init(struct sup_run *s, struct sup_host *host)
{
	sigset_t set;

	memset(s, 0, sizeof(*s));
	s->host = host;
	s->born = sbx_time_now();
	sup_exec_init(&s->exec, &s->request, &s->spawn);
	s->meter.cpu = -1;
	s->stats = -1;
	sup_gofer_init(&s->gofer);
	s->dir = SUP_DIR_NONE;
	s->slot.lock = s->place.fd = s->trace.listener = s->trace.conn = s->pump.in_fd = -1;
	s->pump.out[0].fd = s->pump.out[1].fd = s->meter.memfd = s->meter.statm = s->meter.stat = s->meter.pidfd = -1;
	s->child_stdio[0] = s->child_stdio[1] = s->child_stdio[2] = -1;
	s->cgroup.memory = s->cgroup.cpu = s->cgroup.cpuacct = s->cgroup.pids = -1;
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGUSR1);	/* a program's supervisor wants a turn of its box's */
	s->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* The binary is read ahead from outside the memory cgroup: a small group would thrash on runsc's own pages. */
static void read_ahead(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	(void)posix_fadvise(fd, 0, 0, POSIX_FADV_WILLNEED);
	close(fd);
}

static int limits_held(struct sup_run *s)
{
	const struct sup_request *r = &s->request;

	if (r->best_effort)
		return 0;
	if (r->cgroup_parent && r->cgroup_parent[0] == '/' && !s->cgroup.n)
		return sup_error(&s->error, "not_supported", "cgroup_parent %.200s cannot be used: %s; or set limits.best_effort",
				 r->cgroup_parent, s->cgroup.why[0] ? s->cgroup.why : "it is not there (mkdir)");
	if (r->cpus > 0 && !s->cgroup.cpus_held && sup_spawn_affinity(r->cpus) < 0)
		return sup_error(&s->error, "limit_unavailable",
				 "limits.cpus = %g needs a cpu cgroup (without one only whole cores can be held): %s; or set"
				 " limits.best_effort", r->cpus, s->cgroup.why[0] ? s->cgroup.why :
				 "the cpu controller is not enabled (echo +cpu >cgroup.subtree_control above it)");
	return 0;
}

static int prepare_run(struct sup_run *s)
{
	struct sup_request *r = &s->request;
	char paths[SUP_CGROUP_PATHS];

	if (sup_rlimit_check(r, &s->error) < 0 || sup_dir_make(&s->dir, r, &s->error) < 0)
		return -1;
	if (r->guest && ((s->stats = sup_stats_make(s->dir.fd)) < 0 || !(s->tree = sup_tree_make(s->dir.fd))))
		return sup_error(&s->error, "system", "cannot make the box's record: %s", strerror(errno));
	sup_cgroup_make(&s->cgroup, r);
	(void)sup_dir_write(&s->dir, SUP_SWEEP_CGROUPS, paths, sup_cgroup_paths(&s->cgroup, paths));
	if (s->cgroup.memory >= 0)
		read_ahead(r->runsc);
	if (limits_held(s) < 0 || sup_mount_unshare(r, &s->error) < 0)
		return -1;
	if (sup_dir_reopen(&s->dir) < 0)
		return sup_error(&s->error, "system", "%s has been taken away", s->dir.path);
	if (sup_mount_compose(r, &s->dir, &s->error) < 0)
		return -1;
	if (r->trace && sup_trace_init(&s->trace, &s->dir, &s->error) < 0)
		return -1;
	s->trace.tree = s->tree;
	return 0;
}

static void on_request(struct sup_run *s, const unsigned char *payload, uint32_t n)
{
	char *copy = malloc((size_t)n + 1);

	if (s->attached) {	/* to its box, some time ago: the time begins now */
		sup_request_destroy(&s->request);
		s->attached = false;
		s->born = sbx_time_now();
	}
	if (!copy || s->request.payload) {
		free(copy);
		(void)sup_error(&s->error, "system", "no memory for the request, or a second one");
		return;
	}
	memcpy(copy, payload, n);
	copy[n] = '\0';
	if (sup_request_parse(&s->request, copy, n, &s->error) < 0)
		return;
	s->spawn.request = &s->request;
	if (s->request.boot_delay > 0 && sup_host_sleep(s->host, s->request.boot_delay) < 0) {
		(void)sup_error(&s->error, "closed", "the host has gone");
		return;
	}
	s->queued = s->request.boot_delay;
	if (s->request.mode == SUP_MODE_RUN)
		(void)prepare_run(s);
}

#define AWAIT_TICK 0.003

/*
 * Until the box has started, which its supervisor tells in its record. It makes that before it waits for a turn to boot: one
 * that does not appear, or is there no more, is no box.
 */
static int await_box(struct sup_run *s)
{
	struct sup_request *r = &s->request;
	double limit = sbx_time_now() + r->boot_timeout;
	bool seen = false;

	while (!r->box_pid) {
		struct sup_dir dir = SUP_DIR_NONE;
		int fd = sup_dir_open(&dir, r->box) < 0 ? -1 : sup_stats_open(dir.fd);
		struct sup_stats box = sup_stats_read(fd);

		sup_dir_close(&dir);
		if (fd >= 0)
			(void)close(fd);
		seen = seen || fd >= 0;
		if (box.ended || (fd < 0 && (seen || sbx_time_now() > limit)) || sup_host_sleep(s->host, box.pid ? 0 : AWAIT_TICK) < 0)
			return sup_error(&s->error, "closed", "the box is gone");
		r->box_pid = (uint32_t)box.pid;
	}
	return 0;
}

static void on_attach(struct sup_run *s, const unsigned char *payload, uint32_t n)
{
	static const char armed[] = "armed=1";
	struct sup_request *r = &s->request;

	on_request(s, payload, n);
	s->attached = true;
	if (sup_error_set(&s->error) || r->mode != SUP_MODE_EXEC || (r->await && await_box(s) < 0) ||
	    sup_exec_attach(&s->exec, &s->error) < 0 || (r->first && sup_exec_first(&s->exec, r->first, &s->error) < 0)) {
		s->host_gone = r->first != NULL;	/* the end tells a pool that it has to see for itself */
	} else if (r->first) {
		(void)sup_host_put(s->host, SBX_WIRE_STARTED, armed, sizeof(armed));
		(void)sup_host_flush(s->host);
	}
}

static void on_config(struct sup_run *s, const unsigned char *payload, uint32_t n)
{
	if (s->request.mode == SUP_MODE_EXEC) {
		free(s->exec_arg);
		s->exec_arg = strndup((const char *)payload, n);
		return;
	}
	if (sup_dir_write(&s->dir, "b/config.json", payload, n) < 0)
		(void)sup_error(&s->error, "system", "cannot write config.json: %s", strerror(errno));
}

/* After an error the frames up to G are taken and dropped: the host is still sending them. */
static void on_frame(struct sup_run *s, uint8_t type, const unsigned char *payload, uint32_t n)
{
	if (sup_error_set(&s->error))
		return;
	switch (type) {
	case SBX_WIRE_ATTACH:
		on_attach(s, payload, n);
		break;
	case SBX_WIRE_REQUEST:
		on_request(s, payload, n);
		break;
	case SBX_WIRE_CONFIG:
		on_config(s, payload, n);
		break;
	case SBX_WIRE_FILE:
		(void)sup_place_open(&s->place, &s->request, &s->dir, (const char *)payload, n, &s->error);
		break;
	case SBX_WIRE_DATA:
		if (s->place.fd >= 0)
			(void)sup_place_write(&s->place, payload, n, &s->error);
		break;
	case SBX_WIRE_GO:
		if (!s->request.payload || s->attached)
			(void)sup_error(&s->error, "system", "no request came");
		break;
	default:
		(void)sup_error(&s->error, "system", "a frame out of turn: %c", type);
	}
}

int sup_run_prepare(struct sup_run *s)
{
	uint8_t type = 0;

	while (type != SBX_WIRE_GO) {
		const unsigned char *payload;
		uint32_t n;

		if (sup_host_wait(s->host, &type, &payload, &n) < 0) {
			s->host_gone = true;
			return -1;
		}
		if (type == SBX_WIRE_KILL) {	/* given up before it began */
			s->reason = SUP_KILLED;
			(void)sup_error(&s->error, "closed", "killed before the start");
		}
		on_frame(s, type, payload, n);
		sup_host_drop(s->host);
		if (s->host_gone)
			return -1;
	}
	sup_place_close(&s->place);
	return sup_error_set(&s->error) ? -1 : 0;
}

int sup_run_pipes(struct sup_run *s)
{
	if (sup_pump_init(&s->pump, &s->request, s->child_stdio) < 0)
		return sup_error(&s->error, "system", "cannot make the pipes: %s", strerror(errno));
	return 0;
}

/* Readings every 5 ms must not wait for the guest's own load; where we may not, they do. Returns the priority before. */
static int raise_priority(void)
{
	int before;

	if (sched_getscheduler(0) == SCHED_BATCH)	/* as the zygote is */
		(void)sched_setscheduler(0, SCHED_OTHER, &(struct sched_param){ .sched_priority = 0 });
	errno = 0;
	before = getpriority(PRIO_PROCESS, 0);
	if (errno)
		before = 0;
	(void)setpriority(PRIO_PROCESS, 0, before - 10);
	return before;
}

int sup_run_start(struct sup_run *s)
{
	bool tool = s->request.mode == SUP_MODE_TOOL, exec = s->request.mode == SUP_MODE_EXEC;

	memcpy(s->spawn.stdio, s->child_stdio, sizeof(s->child_stdio));
	s->spawn.cgroup = tool ? NULL : &s->cgroup;
	s->spawn.nice = raise_priority();	/* not before: our own preparations hold up nobody */
	s->spawned = sbx_time_now();
	pid_t pid = tool ? sup_spawn_tool(&s->spawn, &s->error) : exec ?
		    sup_exec_start(&s->exec, s->exec_arg ? s->exec_arg : "null", s->child_stdio, &s->error) :
		    sup_spawn_run(&s->spawn, &s->dir, &s->error);

	for (unsigned i = 0; i < 3; i++) {
		close(s->child_stdio[i]);
		s->child_stdio[i] = -1;
	}
	if (pid < 0)
		return -1;
	s->child = pid;
	s->spawned = sbx_time_now();
	if (!exec)
		sup_outer_init(&s->outer);
	if (!exec)
		sup_meter_init(&s->meter, &s->request, &s->dir, &s->cgroup, pid);
	return 0;
}

/* A command of runsc's that we have started beside it: its time is not the guest's. */
static bool is_tool(const struct sup_run *s, pid_t pid)
{
	for (unsigned i = 0; i < SUP_RUN_TOOLS; i++)
		if (s->tool[i] == pid)
			return true;
	return false;
}

bool sup_run_reap(struct sup_run *s)
{
	for (;;) {
		struct rusage u;
		int status;
		pid_t pid = wait4(-1, &status, WNOHANG, &u);

		if (pid == 0 || (pid < 0 && errno == EINTR))
			return true;
		if (pid < 0)
			return false;
		if (pid == s->child) {
			s->child = -1;
			s->child_status = status;
			continue;
		}
		if (pid == s->exec.command) {
			s->exec.command = -1;
			s->exec.command_status = status;
			continue;
		}
		if (is_tool(s, pid))
			continue;
		/* A stub of the sandbox that was left to us, its subreaper: the guest's time. */
		s->meter.reaped += (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
				   (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
	}
}

static void kill_descendant(pid_t pid, void *arg)
{
	(void)arg;
	if (pid > 1)
		(void)kill(pid, SIGKILL);
}

void sup_run_teardown(struct sup_run *s)
{
	double limit = sbx_time_now() + REAP_SECONDS, harder = sbx_time_now() + 0.2;
	sigset_t set;

	if (s->child > 0 && s->request.mode != SUP_MODE_EXEC)
		(void)kill(s->child, SIGKILL);
	if (s->exec.command > 0)
		(void)kill(s->exec.command, SIGKILL);
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	/* We are the subreaper: while something of it lives, we have a child. */
	while (sup_run_reap(s) && sbx_time_now() < limit) {
		if (sbx_time_now() > harder)
			sup_meter_walk(getpid(), kill_descendant, NULL);
		(void)sigtimedwait(&set, NULL, &(struct timespec){ .tv_nsec = 5000000 });
	}
	sup_slot_release(&s->slot);
	sup_trace_destroy(&s->trace);
	sup_meter_destroy(&s->meter);
	sup_cgroup_remove(&s->cgroup);
	sup_dir_remove(&s->dir);
	sup_exec_destroy(&s->exec);
	if (s->stats >= 0)
		(void)close(s->stats);
	s->stats = -1;
	sup_gofer_close(&s->gofer);
	sup_tree_close(s->tree);
	s->tree = s->trace.tree = NULL;
}

void sup_run_destroy(struct sup_run *s)
{
	sup_place_close(&s->place);
	sup_pump_destroy(&s->pump);
	sup_request_destroy(&s->request);
	free(s->exec_arg);
	s->exec_arg = NULL;
	if (s->signals >= 0)
		close(s->signals);
	s->signals = -1;
}
