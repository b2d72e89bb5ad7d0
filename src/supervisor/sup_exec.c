/* SPDX-License-Identifier: MIT */
#include "sup_exec.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sbx_time.h"
#include "sup_cli.h"
#include "sup_dir.h"
#include "sup_log.h"

#define EXECUTE "containerManager.ExecuteAsync"
#define WAIT "containerManager.WaitPID"

void sup_exec_init(struct sup_exec *x, const struct sup_request *r, const struct sup_spawn *s)
{
	memset(x, 0, sizeof(*x));
	x->box = SUP_DIR_NONE;
	x->wait.fd = x->report = x->stats = x->runsc = x->keeper = -1;
	x->request = r;
	x->spawn = s;
}

void sup_exec_destroy(struct sup_exec *x)
{
	int *const fds[] = { &x->report, &x->stats, &x->runsc, &x->keeper };

	if (x->tree && x->request->cli) {
		sup_cli_remove(&x->box, x->request);
		sup_dir_relict(x->box.path);	/* a command of ours may have written there at the box's end */
	}
	sup_dir_close(&x->box);
	sup_control_close(&x->wait);
	sup_tree_close(x->tree);
	x->tree = NULL;
	for (unsigned i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
		if (*fds[i] >= 0)
			(void)close(*fds[i]);
		*fds[i] = -1;
	}
}

struct wait_args {
	char json[128];
};

static struct wait_args wait_args(const struct sup_exec *x, int pid)
{
	struct wait_args a;

	(void)snprintf(a.json, sizeof(a.json), "{\"PID\":%d,\"CID\":\"%.64s\"}", pid, x->request->container);
	return a;
}

/* The box's end is seen a moment after that of what ran in it. */
static bool box_ends(const struct sup_exec *x, int ms)
{
	struct pollfd box = { .fd = x->runsc, .events = POLLIN };

	return poll(&box, 1, ms) > 0;
}

/*
 * gVisor's words for a directory or a file that is not there are the caller's mistake, not its own; in a box that is just
 * dying, nothing is there.
 */
static void explain(const struct sup_exec *x, struct sup_error *e)
{
	if (box_ends(x, 0)) {
		(void)snprintf(e->code, sizeof(e->code), "%s", "closed");
		(void)snprintf(e->message, sizeof(e->message), "%s", "the box has died");
		return;
	}
	static const char *const mistakes[] = {
		"failed to find initial working directory", "failed to load", "error finding executable", "no such file",
	};

	for (unsigned i = 0; i < sizeof(mistakes) / sizeof(mistakes[0]); i++)
		if (strstr(e->message, mistakes[i]))
			(void)snprintf(e->code, sizeof(e->code), "%s", "bad_command");
}

/*
 * A pid may be another's by now: what we hold is the box's where its supervisor still holds the lock and tells of this runsc
 * after we got hold of both.
 */
static bool hold_box(struct sup_exec *x)
{
	pid_t pid = (pid_t)x->request->box_pid;

	x->runsc = (int)syscall(SYS_pidfd_open, pid, 0);
	x->keeper = (int)syscall(SYS_pidfd_open, (pid_t)x->tree->keeper, 0);
	struct sup_stats box = sup_stats_read(x->stats);

	return x->runsc >= 0 && x->keeper >= 0 && box.pid == pid && !box.ended && sup_dir_held(&x->box);
}

/* The box's record first: it lives as long as the descriptor. */
int sup_exec_attach(struct sup_exec *x, struct sup_error *e)
{
	const struct sup_request *r = x->request;

	if (x->tree)
		return 0;
	if (sup_dir_open(&x->box, r->box) == 0) {
		x->stats = sup_stats_open(x->box.fd);
		x->tree = sup_tree_open(x->box.fd);
	}
	if (!x->tree || !hold_box(x))
		return sup_error(e, "closed", "the box is gone");
	if (sup_control_enter(r, e) < 0)
		return -1;
	return r->cli ? 0 : sup_control_open(&x->wait, r, e);
}

/* What the box used so far, in the form of an answer. */
static char *stats_text(const struct sup_exec *x)
{
	struct sup_stats now = sup_stats_read(x->stats);
	char text[160];

	(void)snprintf(text, sizeof(text), "{\"peak_memory\":%llu,\"failed_forks\":%llu,\"cpu_time\":%.6f}",
		       (unsigned long long)now.memory_peak, (unsigned long long)now.failed_forks, now.cpu);
	return strdup(text);
}

char *sup_exec_call(struct sup_exec *x, const char *arg, struct sup_error *e)
{
	struct json_object *result = NULL;
	char *text = NULL;

	if (sup_exec_attach(x, e) < 0)
		return NULL;
	if (!strcmp(x->request->call, "stats"))
		return stats_text(x);
	if (sup_control_call(&x->wait, x->request->call, arg, NULL, 0, x->request->boot_timeout, &result, e) == 0)
		text = strdup(result ? json_object_to_json_string_ext(result, JSON_C_TO_STRING_PLAIN) : "null");
	json_object_put(result);
	return text;
}

void sup_exec_restart(struct sup_exec *x)
{
	x->before = sup_stats_read(x->stats);
}

int sup_exec_first(struct sup_exec *x, const char *arg, struct sup_error *e)
{
	const int fds[3] = { 0, 1, 2 };	/* /dev/null */
	struct json_object *pid = NULL;
	double seconds = x->request->boot_timeout;
	int rc = sup_control_call(&x->wait, EXECUTE, arg, fds, 3, seconds, &pid, e);

	if (rc == 0)
		rc = sup_control_call(&x->wait, WAIT, wait_args(x, pid ? json_object_get_int(pid) : 0).json, NULL, 0, seconds, NULL, e);
	json_object_put(pid);
	return rc;
}

int sup_exec_start(struct sup_exec *x, const char *arg, const int stdio[3], struct sup_error *e)
{
	const struct sup_request *r = x->request;
	struct json_object *pid = NULL;
	int report[2] = { -1, -1 };

	if (sup_exec_attach(x, e) < 0)
		return -1;
	x->before = sup_stats_read(x->stats);
	if (r->cli) {
		pid_t command = sup_cli_start(x->spawn, &x->box, arg, e);

		x->command = command > 0 ? command : 0;
		return command > 0 ? 0 : -1;
	}
	if (!r->direct && pipe2(report, O_CLOEXEC) < 0)
		return sup_error(e, "system", "no pipe: %s", strerror(errno));
	if (!r->direct) {
		x->report = report[0];
		(void)fcntl(x->report, F_SETFL, O_NONBLOCK);
	}
	const int fds[4] = { stdio[0], stdio[1], stdio[2], report[1] };
	int rc = sup_control_call(&x->wait, EXECUTE, arg, fds, r->direct ? 3 : 4, r->boot_timeout, &pid, e);

	if (report[1] >= 0)
		(void)close(report[1]);
	if (rc < 0) {
		explain(x, e);
		return -1;
	}
	x->pid = pid ? json_object_get_int(pid) : 0;
	json_object_put(pid);
	if (x->pid <= 1 || sup_control_send(&x->wait, WAIT, wait_args(x, x->pid).json, NULL, 0) < 0)
		return sup_error(e, "runsc_failed", "the sandbox answered in a way that is not known");
	return 0;
}

bool sup_exec_kept(const struct sup_exec *x)
{
	return x->keeper >= 0 && syscall(SYS_pidfd_send_signal, x->keeper, 0, NULL, 0) == 0;
}

/* The box's supervisor is told of the end when we are, and measures at once. */
#define MEASURE_MS 20

struct sup_stats sup_exec_measure(const struct sup_exec *x)
{
	const struct sup_request *r = x->request;
	struct sup_stats now = sup_stats_read(x->stats);
	int status;

	for (unsigned i = 0; i < MEASURE_MS && (r->disk || r->cpus > 0) && !x->gone; i++) {
		if (sup_tree_status(x->tree, x->pid, &status) && now.ends == x->tree->ends)
			break;
		(void)poll(NULL, 0, 1);
		now = sup_stats_read(x->stats);
	}
	return now;
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
		else if (said[0] == 'c')
			(void)sup_error(e, "bad_command", "cwd: %s in the guest", strerror(said[1]));
		else
			(void)sup_error(e, "bad_command", "the program cannot be executed in the guest: %s", strerror(said[1]));
	}
	if (x->report >= 0 && (x->said == 2 || n >= 0 || errno != EAGAIN)) {
		(void)close(x->report);
		x->report = -1;
	}
}

/* The words of `runsc exec` that started nothing. */
static void explain_command(struct sup_exec *x, struct sup_error *e)
{
	char log[16384], logged[900] = "";
	size_t n = sup_cli_read(&x->box, x->request, "exec-log", log, sizeof(log));

	(void)sup_log_first_error(log, n, logged, sizeof(logged));
	(void)sup_error(e, "runsc_failed", "%s", logged[0] ? logged : "runsc exec started nothing");
	explain(x, e);
}

/* The program's own status is the trace's, told by the box's supervisor: of 128 + n runsc's has two meanings. */
static void command_ended(struct sup_exec *x, struct sup_trace *t, struct sup_error *e)
{
	int code = WIFEXITED(x->command_status) ? WEXITSTATUS(x->command_status) : 128 + SIGKILL;
	bool told = false;

	for (unsigned i = 0; i < 20 && t->started && !told; i++)
		if (!(told = sup_tree_status(x->tree, x->pid, &t->status)))
			(void)poll(NULL, 0, 1);
	if (box_ends(x, told ? 0 : 300)) {
		x->gone = true;
	} else if (!t->started) {
		explain_command(x, e);
	} else {
		if (!told)
			t->status = code > 128 && code < 128 + NSIG ? code - 128 : code << 8;
		t->ended = true;
	}
}

static void serve_command(struct sup_exec *x, struct sup_trace *t, struct sup_error *e)
{
	int status;

	if (x->command > 0 && waitpid(x->command, &status, WNOHANG) == x->command) {
		x->command = -1;
		x->command_status = status;
	}
	if (!x->pid && (x->pid = sup_cli_pid(&x->box, x->request)) > 0)
		t->started = true;
	if (x->command < 0)
		command_ended(x, t, e);
}

/* A box that is killed may still tell how its programs end; its supervisor writes down that it ends before it kills. */
static bool killed_with_box(const struct sup_exec *x, int status)
{
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL && sup_stats_read(x->stats).ended;
}

void sup_exec_serve(struct sup_exec *x, struct sup_trace *t, struct sup_error *e)
{
	if (x->request->cli) {
		if (!t->ended && !x->gone)
			serve_command(x, t, e);
		return;
	}
	struct json_object *reply = NULL, *status = NULL;
	struct sup_error ignored = { .code = "" };

	serve_report(x, t, e);
	t->started = t->started || (x->request->direct && x->pid);	/* it was loaded, or the call had failed */
	if (t->ended || x->gone)
		return;
	int rc = sup_control_receive(&x->wait, &reply);

	if (rc == 0)
		return;
	if (rc < 0 || sup_control_result(reply, &status, &ignored) < 0 || !json_object_is_type(status, json_type_int) ||
	    killed_with_box(x, json_object_get_int(status))) {
		x->gone = true;
	} else {
		/* A program that ended has begun, unless the helper said otherwise. */
		serve_report(x, t, e);
		t->started = t->started || !sup_error_set(e);
		t->status = json_object_get_int(status);
		t->ended = true;
	}
	json_object_put(status);
}
