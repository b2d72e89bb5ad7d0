/* SPDX-License-Identifier: MIT
 *
 * sup_control: what a sentry might answer. The first byte says in which pieces.
 */
#include "fuzz.h"

#include <sys/socket.h>
#include <unistd.h>

#include "sup_control.h"

static void take(struct json_object *reply)
{
	struct sup_error e = { .code = "" };
	struct json_object *result = NULL;

	if (sup_control_result(reply, &result, &e) < 0) {
		MUST(*e.code && *e.message);
		return;
	}
	int number = sup_control_number(result, 0xffff);

	MUST(number >= -1 && number <= 0xffff);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	struct sup_control c = SUP_CONTROL_NONE;
	struct json_object *reply = NULL;
	int pair[2], rc = 0;

	if (!n || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
		return 0;
	c.fd = pair[0];
	for (size_t at = 1, size = 1 + (size_t)bytes[0] * 16; at < n && rc >= 0; at += size) {
		size = size < n - at ? size : n - at;
		if (send(pair[1], bytes + at, size, MSG_NOSIGNAL) < 0)
			break;
		while ((rc = sup_control_receive(&c, &reply)) > 0)
			take(reply);
	}
	(void)close(pair[1]);
	while (rc >= 0 && (rc = sup_control_receive(&c, &reply)) > 0)
		take(reply);
	MUST(rc < 0);	/* the other end is gone: nothing more will come, and that is known */
	sup_control_close(&c);
	return 0;
}
