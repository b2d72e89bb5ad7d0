/* SPDX-License-Identifier: MIT */
#include "sup_exec.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sbx_time.h"
#include "sup_json.h"

#define EXECUTE "containerManager.ExecuteAsync"
#define WAIT "containerManager.WaitPID"
#define UNKNOWN "the sandbox answered in a way that is not known"

/* {"CID":…,"PID":…} and, for a signal, {…,"Signo":…,"Mode":0}: to one process. The caller destroys it. */
static const char *process_args(struct sup_json *j, const struct sup_exec *x, int pid, int signo)
{
	*j = (struct sup_json){ .failed = false };
	sup_json_open(j, '{');
	sup_json_key(j, "CID");
	sup_json_string(j, x->request->container);
	sup_json_key(j, "PID");
	sup_json_int(j, pid);
	if (signo) {
		sup_json_key(j, "Signo");
		sup_json_int(j, signo);
		sup_json_key(j, "Mode");
		sup_json_int(j, 0);
	}
	sup_json_close(j, '}');
	return sup_json_text(j);
}

static int ask_to_wait(struct sup_exec *x, int pid)
{
	struct sup_json j;
	const char *arg = process_args(&j, x, pid, 0);
	int rc = arg ? sup_control_send(&x->wait, WAIT, arg, NULL, 0) : -1;

	sup_json_destroy(&j);
	return rc;
}

int sup_exec_first(struct sup_exec *x, const char *arg, struct sup_error *e)
{
	const int fds[3] = { 0, 1, 2 };	/* /dev/null */
	double seconds = x->request->boot_timeout;
	struct json_object *result = NULL;
	struct sup_json j;

	sup_programs_pass(&x->programs);
	int begun = sup_control_call(&x->wait, EXECUTE, arg, fds, 3, seconds, &result, e);

	sup_programs_open_gate(&x->programs);
	if (begun < 0)
		return -1;
	const char *process = process_args(&j, x, sup_control_number(result, INT32_MAX), 0);
	int rc = process ? sup_control_call(&x->wait, WAIT, process, NULL, 0, seconds, NULL, e) : -1;

	sup_json_destroy(&j);
	return rc;
}

/* A prepared program's code, its own word; the helper's words. */
#define PIPES 3

/* Our end, and the guest's as the next of what it gets. */
static int add_pipe(int *ours, bool we_read, int *fds, unsigned *n)
{
	int fd[2];

	if (pipe2(fd, O_CLOEXEC) < 0)
		return -1;
	*ours = fd[we_read ? 0 : 1];
	fds[(*n)++] = fd[we_read ? 1 : 0];
	(void)fcntl(*ours, F_SETFL, O_NONBLOCK);
	return 0;
}

static int start(struct sup_exec *x, const char *arg, const int stdio[3], struct sup_error *e)
{
	int fds[3 + PIPES + 1] = { stdio[0], stdio[1], stdio[2] };
	unsigned n = 3;
	int rc = 0;

	if (x->request->prepared)
		rc = add_pipe(&x->code, false, fds, &n) < 0 ? -1 : add_pipe(&x->told, true, fds, &n);
	if (!x->request->direct && rc == 0)
		rc = add_pipe(&x->report, true, fds, &n);
	/* A sandbox that has no helper of ours: gVisor runs what the last descriptor is (pkg/sentry/control/proc.go, FilePayload). */
	if (rc == 0 && x->request->guest && (rc = open(x->request->guest, O_RDONLY | O_CLOEXEC)) >= 0) {
		fds[n++] = rc;
		rc = 0;
	}
	if (rc < 0)
		(void)sup_error(e, "system", "no pipe, or no helper: %s", strerror(errno));
	else
		rc = sup_control_send(&x->wait, EXECUTE, arg, fds, n);
	while (n > 3)
		(void)close(fds[--n]);
	if (sup_error_set(e))
		return -1;
	return rc < 0 ? sup_error(e, "closed", "the box is gone: it takes no program") : 0;
}

/* The helper says that it becomes the program, and then, perhaps, that it could not. */
static void serve_report(struct sup_exec *x, struct sup_trace *t, struct sup_error *e)
{
	unsigned char said[2];
	ssize_t n = 1;

	/* No more than those two: another process of the guest may have got hold of the pipe. */
	while (x->report >= 0 && x->said < 2 && (n = read(x->report, said, sizeof(said))) == 2) {
		x->said++;
		if (said[0] == 's')
			t->started = true;
		else
			(void)sup_error_command(e, said[0] == 'c', said[1]);
	}
	if (x->report >= 0 && (x->said == 2 || n >= 0 || errno != EAGAIN)) {
		(void)close(x->report);
		x->report = -1;
	}
}

/*
 * A prepared program's loader may tell how its program ended, which spares the wait for the interpreter to go: the sandbox is killed
 * anyway. A guest can say so of itself, too, which it could by ending.
 */
static void serve_told(struct sup_exec *x, struct sup_trace *t)
{
	unsigned char status;
	ssize_t n = -1;

	if (!x->leased || x->told < 0)
		return;
	n = read(x->told, &status, 1);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	(void)close(x->told);
	x->told = -1;
	if (n != 1 || t->ended)
		return;
	t->status = status << 8;
	t->started = t->ended = x->early = true;
}

/* A call while the program ends, during which its host gets answers. -1: the box gives none; 1: it says no. */
static int call(const struct sup_exec *x, struct sup_control *c, const char *method, const char *arg)
{
	struct sup_error ignored = { .code = "" };
	double limit = sbx_time_now() + SUP_EXEC_SECONDS;
	struct json_object *reply = NULL;
	int rc = arg && sup_control_send(c, method, arg, NULL, 0) == 0 ? 0 : -1;

	while (rc == 0 && (rc = sup_control_receive(c, &reply)) == 0) {
		if (sbx_time_now() > limit)
			return -1;
		(void)poll(&(struct pollfd){ .fd = c->fd, .events = sup_control_events(c) }, 1, 100);
		sup_host_answer(x->host);
	}
	return rc < 0 ? -1 : sup_control_result(reply, NULL, &ignored) < 0;
}

/* Whether the sentry goes on: a call that it has to make for us, for one that was killed makes none. */
static bool is_alive(const struct sup_exec *x)
{
	struct sup_control c = SUP_CONTROL_NONE;
	struct sup_error ignored = { .code = "" };
	struct sup_json j = { .failed = false };

	sup_json_string(&j, x->request->container);
	bool alive = sup_control_open(&c, x->request, SUP_EXEC_SECONDS, &ignored) == 0 &&
		     call(x, &c, "containerManager.Processes", sup_json_text(&j)) >= 0;

	sup_control_close(&c);
	sup_json_destroy(&j);
	return alive;
}

/*
 * A box that is killed may still tell how its programs end, or that they cannot be loaded. Its supervisor writes down that it ends before
 * it kills; where that one was killed itself, the box goes with it; and where the sentry was, its supervisor may not know yet.
 */
static bool is_gone(const struct sup_exec *x)
{
	return !sup_exec_settle(x) || sup_stats_read(x->stats).ended || !is_alive(x);
}

/* A box that dies of its memory kills by SIGBUS, too, who maps a file of it (sup_kind_run.c, judge_end). */
static bool killed_with_box(const struct sup_exec *x, int status)
{
	return WIFSIGNALED(status) && (WTERMSIG(status) == SIGKILL || WTERMSIG(status) == SIGBUS) && is_gone(x);
}

/* The answer to ExecuteAsync: the program's pid; its end is asked for at once. */
static void started(struct sup_exec *x, struct json_object *reply, struct sup_error *e)
{
	struct sup_error said = { .code = "" };
	struct json_object *result = NULL;

	x->asked = false;
	if (sup_control_result(reply, &result, &said) < 0) {
		x->gone = is_gone(x);
		if (x->gone)
			return;
		*e = said;
		sup_exec_explain(x, e);
		return;
	}
	int pid = sup_control_number(result, INT32_MAX);

	x->pid = pid > 1 ? pid : 0;
	if (!x->pid || ask_to_wait(x, x->pid) < 0)
		(void)sup_error(e, "runsc_failed", UNKNOWN);
}

/* The answer to WaitPID: how it ended. */
static void ended(struct sup_exec *x, struct json_object *reply, struct sup_trace *t, struct sup_error *e)
{
	struct sup_error ignored = { .code = "" };
	struct json_object *result = NULL;
	int status = sup_control_result(reply, &result, &ignored) < 0 ? -1 : sup_control_number(result, 0xffff);

	if (status < 0 || killed_with_box(x, status)) {
		x->gone = true;
		return;
	}
	/* A program that ended has begun, unless the helper said otherwise. */
	serve_report(x, t, e);
	t->started = t->started || !sup_error_set(e);
	t->status = status;
	t->ended = true;
}

/* The next signal, once the one before is answered, or was waited for long enough. */
static void serve_signals(struct sup_exec *x)
{
	struct sup_error ignored = { .code = "" };
	struct json_object *reply = NULL;
	struct sup_json j;

	if (x->signal.fd >= 0 && sup_control_receive(&x->signal, &reply) == 0 && sbx_time_now() < x->signal_limit)
		return;
	json_object_put(reply);
	sup_control_close(&x->signal);
	if (!x->signals_n || !x->pid || sup_control_open(&x->signal, x->request, 0, &ignored) < 0)
		return;
	int signo = x->signals[0];
	const char *arg = process_args(&j, x, sup_exec_target(x, signo), signo);

	memmove(x->signals, x->signals + 1, --x->signals_n);
	x->signal_limit = sbx_time_now() + SUP_EXEC_SECONDS;
	if (!arg || sup_control_send(&x->signal, "containerManager.Signal", arg, NULL, 0) < 0)
		sup_control_close(&x->signal);
	sup_json_destroy(&j);
}

static void serve(struct sup_exec *x, struct sup_trace *t, struct sup_error *e)
{
	struct json_object *reply = NULL;
	int rc;

	serve_report(x, t, e);
	serve_signals(x);
	serve_told(x, t);
	while (!t->ended && !x->gone && (rc = sup_control_receive(&x->wait, &reply)) != 0) {
		if (rc < 0)
			x->gone = true;
		else if (x->asked)
			started(x, reply, e);
		else
			ended(x, reply, t, e);
	}
	t->started = t->started || (x->request->direct && x->pid);	/* it was loaded, or the call had failed */
}

static void signal_later(struct sup_exec *x, int pid, int signo)
{
	(void)pid;
	if (x->signals_n < SUP_EXEC_SIGNALS)
		x->signals[x->signals_n++] = (unsigned char)signo;
	serve_signals(x);
}

/* A process that ended in this moment is none, which is no matter. */
static int kill_one(const struct sup_exec *x, struct sup_control *c, int pid)
{
	struct sup_json j;
	const char *arg = process_args(&j, x, pid, SIGKILL);
	int rc = call(x, c, "containerManager.Signal", arg);

	sup_json_destroy(&j);
	return rc < 0 ? -1 : 0;
}

static int hold(struct sup_exec *x, struct sup_control *c, bool still)
{
	/* The build whose control socket is an abstract one has them elsewhere. */
	const char *method = x->request->abstract ? still ? "Lifecycle.Pause" : "Lifecycle.Resume"
						  : still ? "containerManager.Pause" : "containerManager.Resume";

	return call(x, c, method, "null") == 0 ? 0 : -1;
}

const struct sup_exec_way sup_exec_control = {
	.connects = true, .start = start, .serve = serve, .signal = signal_later, .kill = kill_one, .hold = hold,
};
