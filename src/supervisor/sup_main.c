/* SPDX-License-Identifier: MIT
 *
 * Theory of operation. A Lua host has one supervisor a run and talks to it over one stream socket, descriptor 3; a zygote that
 * the host starts once forks them (sup_zygote). The supervisor owns all that must happen even if the host is dead, stopped or
 * has forgotten: the deadline, the limits, the output caps, the kill, the clean-up. It reads the request (sup_request), makes the run's directory (sup_dir) and cgroups
 * (sup_cgroup), moves into namespaces of its own and composes the guest's root there (sup_mount, sup_place), starts runsc
 * (sup_spawn), and then waits in one poll loop (sup_loop) for the guest's output (sup_pump), its start and end (sup_trace),
 * its use of memory and CPU (sup_meter) and the host (sup_host). At the end it judges (sup_judge), sends the result
 * (sup_report), and only then tears down. The end of the connection means that nothing is left.
 *
 * A box is a run whose first process is our helper (guest_main) and that tells others of itself (sup_stats, sup_tree); a
 * program in it has a supervisor of its own, which starts it over the sentry's control socket (sup_exec, sup_control) or by
 * runsc's commands (sup_cli), and serves its host as above. Boots take turns (sup_slot).
 *
 * What is to outlive its host has a keeper between the two (sup_keep): a host to its supervisor, and a door for any number of hosts.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sbx_fd.h"
#include "sbx_launch.h"
#include "sup_keep.h"
#include "sup_run.h"
#include "sup_zygote.h"

/* Before anything else: what was inherited from an arbitrary host. */
static void reset_process(void)
{
	sigset_t all;

	for (int signo = 1; signo < NSIG; signo++)
		(void)signal(signo, SIG_DFL);
	sigfillset(&all);
	(void)sigprocmask(SIG_SETMASK, &all, NULL);
	for (int fd = 0; fd < 3; fd++)
		if (fcntl(fd, F_GETFD) < 0)
			(void)open("/dev/null", O_RDWR);
	sbx_fd_close_from(SBX_LAUNCH_LINE + 1, false);
	umask(077);
	if (chdir("/") < 0)
		_exit(111);
}

static void live(struct sup_run *s)
{
	bool queued = false;

	if (sup_run_prepare(s) == 0 && sup_run_pipes(s) == 0 && (!s->kind->boots || sup_loop_turn(s)) && sup_run_start(s) == 0) {
		sup_loop_run(s);
		if (s->kind->stop)
			s->kind->stop(s);
	}
	sup_loop_end(s);
	sup_report_judge(s);
	if (!s->host_gone) {
		queued = sup_loop_drain(s) && sup_report(s);
		(void)sup_host_flush(s->host);
	}
	sup_run_teardown(s);
	sup_loop_linger(s, queued);
}

int main(void)
{
	static struct sup_host host;
	static struct sup_run run;
	struct stat st;

	reset_process();
	if (fstat(SBX_LAUNCH_CONTROL, &st) < 0 || !S_ISSOCK(st.st_mode))
		return 111;
	if (sup_zygote_asked(SBX_LAUNCH_CONTROL) && !sup_zygote_serve(SBX_LAUNCH_CONTROL))
		return 0;
	int line = fcntl(SBX_LAUNCH_LINE, F_GETFD) < 0 ? -1 : SBX_LAUNCH_LINE;

	if (sup_host_init(&host, SBX_LAUNCH_CONTROL, line) < 0)
		return 111;
	(void)setsid();
	if (sup_keep(&host))
		return 0;
	(void)prctl(PR_SET_CHILD_SUBREAPER, 1);
	sup_run_init(&run, &host);
	live(&run);
	sup_run_destroy(&run);
	sup_host_destroy(&host);
	return 0;
}
