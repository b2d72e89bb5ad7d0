/* SPDX-License-Identifier: MIT */
#include "sup_exec.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sbx_time.h"
#include "sup_cli.h"
#include "sup_json.h"

void sup_exec_init(struct sup_exec *x, const struct sup_request *r, const struct sup_spawn *s)
{
	memset(x, 0, sizeof(*x));
	x->box = SUP_DIR_NONE;
	x->programs = SUP_PROGRAMS_NONE;
	x->wait = x->signal = SUP_CONTROL_NONE;
	x->report = x->code = x->told = x->stats = x->runsc = x->keeper = -1;
	x->request = r;
	x->spawn = s;
}

void sup_exec_destroy(struct sup_exec *x)
{
	int *const fds[] = { &x->report, &x->code, &x->told, &x->stats, &x->runsc, &x->keeper };

	if (x->tree && x->way == &sup_exec_command) {
		sup_cli_remove(&x->box, x->request);
		sup_dir_relict(x->box.path);	/* a command of ours may have written there at the box's end */
	}
	sup_programs_leave(&x->programs);
	sup_programs_close(&x->programs);
	sup_dir_close(&x->box);
	sup_control_close(&x->wait);
	sup_control_close(&x->signal);
	sup_tree_close(x->tree);
	x->tree = NULL;
	sup_net_unmap(x->net);
	x->net = NULL;
	for (unsigned i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
		if (*fds[i] >= 0)
			(void)close(*fds[i]);
		*fds[i] = -1;
	}
}

bool sup_exec_box_ends(const struct sup_exec *x, int ms)
{
	struct pollfd box = { .fd = x->runsc, .events = POLLIN };

	return poll(&box, 1, ms) > 0;
}

void sup_exec_explain(const struct sup_exec *x, struct sup_error *e)
{
	if (sup_exec_box_ends(x, 0)) {
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
int sup_exec_attach(struct sup_exec *x, const struct sup_exec_way *way, struct sup_error *e)
{
	const struct sup_request *r = x->request;

	if (x->tree)
		return 0;
	x->way = way;
	if (sup_dir_open(&x->box, r->box) == 0) {
		x->stats = sup_stats_open(x->box.fd);
		x->tree = sup_tree_open(x->box.fd);
		x->net = sup_net_map(x->box.fd);
	}
	if (!x->tree || sup_programs_open(&x->programs, x->box.fd) < 0 || !hold_box(x))
		return sup_error(e, "closed", "the box is gone");
	if (sup_control_enter(r, way->user_namespace, e) < 0)
		return -1;
	return way->connects ? sup_control_open(&x->wait, r, SUP_EXEC_SECONDS, e) : 0;
}

/* What the box had used when its program began. */
static void note(struct sup_exec *x)
{
	x->before = sup_stats_read(x->stats);
	if (x->net)
		x->net_before = *x->net;
}

int sup_exec_start(struct sup_exec *x, const struct sup_exec_way *way, const char *arg, const int stdio[3], struct sup_error *e)
{
	if (sup_exec_attach(x, way, e) < 0)
		return -1;
	note(x);
	if (sup_programs_enter(&x->programs, !way->connects, x->request->abstract, x->request->kept) < 0)
		return sup_error(e, "system", "more than %d programs are at work in the box", SUP_PROGRAMS_SLOTS);
	sup_programs_pass(&x->programs);
	if (sup_programs_still(&x->programs)) {
		sup_programs_open_gate(&x->programs);
		return sup_error(e, "paused", "the box is paused: nothing can be started in it before box:resume()");
	}
	x->asked = way->start(x, arg, stdio, e) == 0;
	if (!x->asked)
		sup_programs_open_gate(&x->programs);
	return x->asked ? 0 : -1;
}

void sup_exec_serve(struct sup_exec *x, struct sup_trace *t, struct sup_error *e)
{
	bool asked = x->asked;

	x->way->serve(x, t, e);
	if (x->pid) {
		x->asked = false;
		sup_programs_known(&x->programs, x->pid);
	}
	if (asked && !x->asked)
		sup_programs_open_gate(&x->programs);
	if (t->ended)
		sup_programs_leave(&x->programs);
}

/* Whether a call is this one, of whatever object of gVisor's. */
static bool calls(const struct sup_exec *x, const char *verb)
{
	const char *dot = strrchr(x->request->call, '.');

	return dot && !strcmp(dot + 1, verb);
}

int sup_exec_ask(struct sup_exec *x, const char *arg, struct sup_error *e)
{
	const char *method = x->request->call;

	if (sup_exec_attach(x, &sup_exec_control, e) < 0)
		return -1;
	if (calls(x, "Pause") || calls(x, "Resume"))
		sup_programs_shut(&x->programs);	/* until we have gone */
	x->asked = strcmp(method, "stats") != 0 && (!calls(x, "Resume") || sup_programs_goes_on(&x->programs)) &&
		   (!calls(x, "Pause") || !sup_programs_still(&x->programs));
	if (x->asked && sup_control_send(&x->wait, method, arg, NULL, 0) < 0)
		return sup_error(e, "closed", "the box is gone: it does not take %.60s", method);
	return 0;
}

/* What the box used so far, in the form of an answer. */
static char *stats_text(const struct sup_exec *x)
{
	struct sup_stats now = sup_stats_read(x->stats);
	struct sup_json j = { .failed = false };

	sup_json_open(&j, '{');
	sup_json_key(&j, "peak_memory");
	sup_json_int(&j, (long long)now.memory_peak);
	sup_json_key(&j, "failed_forks");
	sup_json_int(&j, (long long)now.failed_forks);
	sup_json_key(&j, "cpu_time");
	sup_json_double(&j, now.cpu);
	sup_json_close(&j, '}');
	const char *text = sup_json_text(&j);
	char *copy = text ? strdup(text) : NULL;

	sup_json_destroy(&j);
	return copy;
}

char *sup_exec_answer(struct sup_exec *x, struct sup_error *e)
{
	struct json_object *reply = NULL, *result = NULL;
	const char *method = x->request->call;
	char *text = NULL;

	if (!strcmp(method, "stats"))
		return stats_text(x);
	if (!x->asked)		/* it goes on, or stands still, already */
		return strdup("null");
	int rc = sup_control_receive(&x->wait, &reply);

	if (rc < 0)
		(void)sup_error(e, "closed", "the box is gone: no answer to %.60s", method);
	else if (rc > 0 && sup_control_result(reply, &result, e) == 0)
		text = strdup(result ? json_object_to_json_string_ext(result, JSON_C_TO_STRING_PLAIN) : "null");
	if (text && calls(x, "Pause"))
		sup_programs_stands(&x->programs);
	json_object_put(result);
	return text;
}

void sup_exec_poll(const struct sup_exec *x, struct pollfd p[SUP_EXEC_POLL])
{
	p[0] = (struct pollfd){ .fd = x->report, .events = POLLIN };
	p[1] = (struct pollfd){ .fd = x->wait.fd, .events = sup_control_events(&x->wait) };
	p[2] = (struct pollfd){ .fd = x->signal.fd, .events = sup_control_events(&x->signal) };
	p[3] = (struct pollfd){ .fd = x->leased ? x->told : -1, .events = POLLIN };
}

int sup_exec_lease(struct sup_exec *x)
{
	int code = x->code;

	note(x);
	x->leased = true;
	x->code = -1;
	return code;
}

bool sup_exec_kept(const struct sup_exec *x)
{
	/* One that waits to be reaped still takes signals. */
	return x->keeper >= 0 && poll(&(struct pollfd){ .fd = x->keeper, .events = POLLIN }, 1, 0) == 0;
}

/* What was told before the program's end is in what was measured at it. One that told its status itself has not ended. */
static bool is_measured(const struct sup_exec *x)
{
	int status;

	return !x->early && sup_tree_status(x->tree, x->pid, &status) && sup_stats_read(x->stats).ends == x->tree->ends;
}

/* The trace has told the box's supervisor of the end before we were: it is at it, unless it takes in events by the clock. */
#define TURN_SECONDS 0.0005

static bool is_measured_soon(const struct sup_exec *x)
{
	uint32_t news = sup_tree_news(x->tree);

	if (x->early || is_measured(x))
		return !x->early;
	sup_tree_wait(x->tree, news, TURN_SECONDS);
	return is_measured(x);
}

struct sup_stats sup_exec_measure(const struct sup_exec *x)
{
	bool measured = x->gone || is_measured_soon(x) || sup_exec_settle(x);
	struct sup_stats now = sup_stats_read(x->stats);

	now.lost = now.lost || !measured;
	return now;
}
