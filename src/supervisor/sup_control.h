/* SPDX-License-Identifier: MIT
 *
 * sup_control: the sentry's control socket (gVisor's pkg/urpc: one JSON object a request, descriptors along with its first
 * byte, one JSON object a reply; one call at a time on a connection). An internal protocol, so nothing of a reply is
 * trusted: its size, its depth and its time are bounded, and what is not as expected is an error.
 */
#ifndef SUP_CONTROL_H
#define SUP_CONTROL_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>

#include "sbx_buf.h"
#include "sup_error.h"
#include "sup_request.h"

struct sup_control {
	int fd;			/* -1: none; never blocks */
	struct sbx_buf out;	/* what of the request is not sent yet */
	size_t got;		/* bytes of the reply that is coming */
	struct json_tokener *tokener;
};

#define SUP_CONTROL_NONE ((struct sup_control){ .fd = -1 })

/* Moves into the box's network namespace where its socket is an abstract one (the build of 2022), and into its user namespace
 * where that is so, or `user` asks for it. Once a process. */
int sup_control_enter(const struct sup_request *r, bool user, struct sup_error *e);
/* Connects to the box named by the request, waiting so long while too many others do; 0: not at all. */
int sup_control_open(struct sup_control *c, const struct sup_request *r, double seconds, struct sup_error *e);
void sup_control_close(struct sup_control *c);

/*
 * Begins to send a request, never waiting; arg is a JSON value. The descriptors stay the caller's. -1: the box is gone, or the
 * request before is still on its way. What is left of it goes with sup_control_receive.
 */
int sup_control_send(struct sup_control *c, const char *method, const char *arg, const int *fd, unsigned n);
/* What to poll the descriptor for. */
short sup_control_events(const struct sup_control *c);
/* Sends what is left, and reads what has come of a reply; never waits. 1: whole, *reply is the caller's (json_object_put);
 * 0: not yet; -1: none will. */
int sup_control_receive(struct sup_control *c, struct json_object **reply);
/*
 * A whole call within a time. 0: *result (may be NULL: not wanted) is the caller's; -1: the error is set, with code `closed`
 * when the box is gone or does not answer, `runsc_failed` with gVisor's words when it says no.
 */
int sup_control_call(struct sup_control *c, const char *method, const char *arg, const int *fd, unsigned n, double seconds,
		     struct json_object **result, struct sup_error *e);
/* Takes a whole reply apart, as `call` does. Puts the reply. */
int sup_control_result(struct json_object *reply, struct json_object **result, struct sup_error *e);
/* The whole number in a result, or -1 where it is none between 0 and max. Puts the result. */
int sup_control_number(struct json_object *result, int max);

#endif
