/* SPDX-License-Identifier: MIT */
#include "sup_control.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "sbx_fdpass.h"
#include "sbx_time.h"
#include "sbx_wire.h"
#include "sup_json.h"

/* A list of 10,000 processes takes 2 MB. */
#define REPLY_MAX (4u << 20)
#define REPLY_DEPTH 12
/* A program's arguments and environment as JSON, and what is around them. */
#define REQUEST_MAX (SBX_WIRE_CONFIG_MAX + 4096u)

static int enter(const char *name, uint32_t pid, int type)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/%u/ns/%s", pid, name);
	int fd = open(path, O_RDONLY | O_CLOEXEC), rc = fd < 0 ? -1 : setns(fd, type);

	if (fd >= 0)
		(void)close(fd);
	return rc;
}

int sup_control_enter(const struct sup_request *r, bool user, struct sup_error *e)
{
	if ((r->rootless && (user || r->abstract) && enter("user", r->box_pid, CLONE_NEWUSER) < 0) ||
	    (r->abstract && enter("net", r->box_pid, CLONE_NEWNET) < 0))
		return sup_error(e, "closed", "the box is gone: its namespaces cannot be entered: %s", strerror(errno));
	return 0;
}

static socklen_t address(const struct sup_request *r, struct sockaddr_un *a)
{
	memset(a, 0, sizeof(*a));
	a->sun_family = AF_UNIX;
	if (!r->abstract) {
		if (snprintf(a->sun_path, sizeof(a->sun_path), "%s/r/runsc-%s.sock", r->box, r->container) >= (int)sizeof(a->sun_path))
			return 0;
		return sizeof(*a);
	}
	/* gVisor's name of 2022 ends with a NUL, too. */
	int n = snprintf(a->sun_path + 1, sizeof(a->sun_path) - 1, "runsc-sandbox.%s", r->container);

	return n >= (int)sizeof(a->sun_path) - 2 ? 0 : (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n + 1);
}

int sup_control_open(struct sup_control *c, const struct sup_request *r, double seconds, struct sup_error *e)
{
	double limit = sbx_time_now() + seconds;
	struct sockaddr_un a;
	socklen_t len = address(r, &a);

	*c = SUP_CONTROL_NONE;
	c->fd = len ? socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0) : -1;
	if (c->fd < 0)
		return sup_error(e, "system", "no control socket: %s", len ? strerror(errno) : "state_dir is too long");
	int rc;

	/* EAGAIN: as many as may are waiting to be accepted (unix(7)); nothing tells when there is room. */
	while ((rc = connect(c->fd, (struct sockaddr *)&a, len)) < 0 && errno == EAGAIN && sbx_time_now() < limit)
		(void)poll(NULL, 0, 1);
	if (rc < 0) {
		int saved = errno;

		sup_control_close(c);
		return sup_error(e, "closed", "the box is gone: its control socket cannot be reached: %s", strerror(saved));
	}
	return 0;
}

void sup_control_close(struct sup_control *c)
{
	if (c->fd >= 0)
		(void)close(c->fd);
	if (c->tokener)
		json_tokener_free(c->tokener);
	sbx_buf_destroy(&c->out);
	c->fd = -1;
	c->tokener = NULL;
}

/* 0, with what is left in c->out; -1: it cannot be sent. The descriptors go with the first byte, and never again. */
static int send_some(struct sup_control *c, const int *fd, unsigned count)
{
	while (c->out.len) {
		ssize_t w = sbx_fdpass_send(c->fd, c->out.bytes + c->out.off, c->out.len, fd, count, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (w < 0 && errno == EINTR)
			continue;
		if (w < 0)
			return errno == EAGAIN && !count ? 0 : -1;
		sbx_buf_take(&c->out, (size_t)w);
		count = 0;
	}
	return 0;
}

int sup_control_send(struct sup_control *c, const char *method, const char *arg, const int *fd, unsigned n)
{
	struct sup_json j = { .failed = false };
	size_t len;

	if (c->fd < 0 || c->out.len)
		return -1;
	sup_json_open(&j, '{');
	sup_json_key(&j, "method");
	sup_json_string(&j, method);
	sup_json_key(&j, "arg");
	sup_json_value(&j, arg);
	sup_json_close(&j, '}');
	/* In one piece: the sentry wakes up for each. */
	const char *text = sup_json_text(&j);

	len = text ? strlen(text) : 0;
	if (!text || len > REQUEST_MAX) {
		sup_json_destroy(&j);
		return -1;
	}
	sbx_buf_destroy(&c->out);
	c->out = j.buf;
	c->out.len = len;
	return send_some(c, fd, n);
}

short sup_control_events(const struct sup_control *c)
{
	return (short)(POLLIN | (c->out.len ? POLLOUT : 0));
}

int sup_control_receive(struct sup_control *c, struct json_object **reply)
{
	char buf[16384];

	if (c->fd < 0 || send_some(c, NULL, 0) < 0)
		return -1;
	if (!c->tokener)
		c->tokener = json_tokener_new_ex(REPLY_DEPTH);
	for (;;) {
		ssize_t n = c->tokener ? recv(c->fd, buf, sizeof(buf), MSG_DONTWAIT) : 0;

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return 0;
		if (n <= 0 || (c->got += (size_t)n) > REPLY_MAX)
			return -1;
		*reply = json_tokener_parse_ex(c->tokener, buf, (int)n);
		if (*reply) {
			json_tokener_reset(c->tokener);
			c->got = 0;
			return 1;
		}
		if (json_tokener_get_error(c->tokener) != json_tokener_continue)
			return -1;
	}
}

int sup_control_result(struct json_object *reply, struct json_object **result, struct sup_error *e)
{
	struct json_object *success = NULL, *err = NULL, *value = NULL;
	int rc = 0;

	if (!json_object_is_type(reply, json_type_object) || !json_object_object_get_ex(reply, "success", &success) ||
	    !json_object_is_type(success, json_type_boolean)) {
		rc = sup_error(e, "runsc_failed", "the sandbox answered in a way that is not known");
	} else if (!json_object_get_boolean(success)) {
		(void)json_object_object_get_ex(reply, "err", &err);
		rc = sup_error(e, "runsc_failed", "%.400s", json_object_is_type(err, json_type_string) ? json_object_get_string(err) :
			       "the sandbox refused");
	} else if (result) {
		(void)json_object_object_get_ex(reply, "result", &value);
		*result = value ? json_object_get(value) : NULL;
	}
	json_object_put(reply);
	return rc;
}

int sup_control_number(struct json_object *result, int max)
{
	int64_t n = json_object_is_type(result, json_type_int) ? json_object_get_int64(result) : -1;

	json_object_put(result);
	return n < 0 || n > max ? -1 : (int)n;
}

int sup_control_call(struct sup_control *c, const char *method, const char *arg, const int *fd, unsigned n, double seconds,
		     struct json_object **result, struct sup_error *e)
{
	double limit = sbx_time_now() + seconds;
	struct json_object *reply = NULL;
	int rc = sup_control_send(c, method, arg, fd, n) < 0 ? -1 : 0;

	while (rc == 0 && (rc = sup_control_receive(c, &reply)) == 0) {
		double left = limit - sbx_time_now();
		struct pollfd p = { .fd = c->fd, .events = sup_control_events(c) };

		if (left <= 0)
			return sup_error(e, "closed", "the box does not answer: %s took more than %g s", method, seconds);
		(void)poll(&p, 1, (int)(left * 1000) + 1);
	}
	if (rc < 0)
		return sup_error(e, "closed", "the box is gone: no answer to %s", method);
	return sup_control_result(reply, result, e);
}
