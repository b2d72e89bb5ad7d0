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

#include "sup_error.h"
#include "sup_request.h"

struct sup_control {
	int fd;			/* -1: none */
	size_t got;		/* bytes of the reply that is coming */
	struct json_tokener *tokener;
};

/* Moves into the box's network namespace where its socket is an abstract one (the build of 2022), and into its user namespace
 * where that or `runsc exec` needs it. Once a process. */
int sup_control_enter(const struct sup_request *r, struct sup_error *e);
/* Connects to the box named by the request. */
int sup_control_open(struct sup_control *c, const struct sup_request *r, struct sup_error *e);
void sup_control_close(struct sup_control *c);

/* Sends a request; arg is a JSON value. The descriptors stay the caller's. -1: the box is gone, or does not take it. */
int sup_control_send(struct sup_control *c, const char *method, const char *arg, const int *fd, unsigned n);
/* Reads what has come of a reply, never waiting. 1: whole, *reply is the caller's (json_object_put); 0: not yet; -1: none will. */
int sup_control_receive(struct sup_control *c, struct json_object **reply);
/*
 * A whole call within a time. 0: *result (may be NULL: not wanted) is the caller's; -1: the error is set, with code `closed`
 * when the box is gone or does not answer, `runsc_failed` with gVisor's words when it says no.
 */
int sup_control_call(struct sup_control *c, const char *method, const char *arg, const int *fd, unsigned n, double seconds,
		     struct json_object **result, struct sup_error *e);
/* Takes a whole reply apart, as `call` does. Puts the reply. */
int sup_control_result(struct json_object *reply, struct json_object **result, struct sup_error *e);

#endif
