/* SPDX-License-Identifier: MIT */
#include "sup_run.h"

#include <errno.h>
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
#include "sup_frame.h"
#include "sup_privilege.h"

/* Nothing of a killed sandbox lives this long (mechanics: 56 ms at most with 200 processes). */
#define REAP_SECONDS 10.0

void sup_run_init(struct sup_run *s, struct sup_host *host)
{
	sigset_t set;

	memset(s, 0, sizeof(*s));
	s->host = host;
	s->born = sbx_time_now();
	sup_exec_init(&s->exec, &s->request, &s->spawn);
	s->exec.host = host;
	sup_net_init(&s->net);
	s->meter.cpu = -1;
	s->stats = s->removed = s->hold = -1;
	sup_gofer_init(&s->gofer);
	s->dir = SUP_DIR_NONE;
	s->record = SUP_PROGRAMS_NONE;
	s->slot.lock = s->place.fd = s->trace.listener = s->trace.conn = s->pump.in_fd = s->pump.first_fd = -1;
	s->pump.out[0].fd = s->pump.out[1].fd = s->meter.memfd = s->meter.statm = s->meter.stat = s->meter.pidfd = -1;
	s->child_stdio[0] = s->child_stdio[1] = s->child_stdio[2] = -1;
	s->cgroup.memory = s->cgroup.cpu = s->cgroup.cpuacct = s->cgroup.pids = -1;
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGUSR1);	/* a program's supervisor wants a turn of its box's */
	s->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
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
		sup_frame_take(s, type, payload, n);
		sup_host_drop(s->host);
		if (s->host_gone)
			return -1;
	}
	return sup_error_set(&s->error) ? -1 : 0;
}

void sup_run_end(struct sup_run *s, enum sup_outcome reason)
{
	if (s->reason == SUP_EXITED)
		s->reason = reason;
}

int sup_run_pipes(struct sup_run *s)
{
	if (s->kind->streams && sup_pump_init(&s->pump, &s->request, s->child_stdio) < 0)
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
	s->phase = SUP_PHASE_BOOT;
	memcpy(s->spawn.stdio, s->child_stdio, sizeof(s->child_stdio));
	s->spawn.nice = raise_priority();	/* not before: our own preparations hold up nobody */
	s->spawned = sbx_time_now();
	int rc = s->kind->start(s);

	for (unsigned i = 0; i < 3; i++) {
		if (s->child_stdio[i] >= 0)
			close(s->child_stdio[i]);
		s->child_stdio[i] = -1;
	}
	s->spawned = sbx_time_now();
	if (rc == 0 && !(s->request.rootless && s->kind->privilege == SUP_PRIVILEGE_RUN))	/* its own are the namespace's alone */
		sup_privilege_keep(s->kind->privilege);
	return rc;
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
		if (pid == s->killer) {
			s->killer = -1;
			s->killer_status = status;
			continue;
		}
		if (is_tool(s, pid))
			continue;
		sup_net_reaped(&s->net, pid);
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

	if (s->child > 0)
		(void)kill(s->child, SIGKILL);
	if (s->exec.command > 0)
		(void)kill(s->exec.command, SIGKILL);
	if (s->killer > 0)
		(void)kill(s->killer, SIGKILL);
	sup_net_destroy(&s->net);
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
	bool empty = sup_cgroup_remove(&s->cgroup);

	sup_volume_release(&s->volumes);	/* before the directory goes: who waits for that may have them */
	if (empty)
		sup_dir_remove(&s->dir);
	else				/* a later sweep finds in it what is to be removed */
		sup_dir_close(&s->dir);
	sup_exec_destroy(&s->exec);
	if (s->stats >= 0)
		(void)close(s->stats);
	s->stats = -1;
	sup_gofer_close(&s->gofer);
	sup_programs_close(&s->record);
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
	sup_hold_close(&s->hold);
	sup_volume_release(&s->volumes);
	s->signals = -1;
}
