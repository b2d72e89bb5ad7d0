/* SPDX-License-Identifier: MIT */
#include "sup_error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int sup_error(struct sup_error *e, const char *code, const char *fmt, ...)
{
	if (sup_error_set(e))
		return -1;
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(e->message, sizeof(e->message), fmt, ap);
	va_end(ap);
	(void)snprintf(e->code, sizeof(e->code), "%s", code);
	return -1;
}

int sup_error_command(struct sup_error *e, bool cwd, int err)
{
	return sup_error(e, "bad_command", cwd ? "cwd: %s in the guest" : "the program cannot be executed in the guest: %s", strerror(err));
}
