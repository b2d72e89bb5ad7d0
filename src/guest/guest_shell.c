/* SPDX-License-Identifier: MIT */
#include "guest_shell.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Copies n bytes; each goes through `put`. false: stdin ended before. */
static bool copy(unsigned long long n, void (*put)(char c))
{
	char buf[4096];

	while (n) {
		ssize_t got = read(STDIN_FILENO, buf, n < sizeof(buf) ? (size_t)n : sizeof(buf));

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return false;
		for (ssize_t i = 0; i < got; i++)
			put(buf[i]);
		n -= (unsigned long long)got;
	}
	return true;
}

static void put_plain(char c)
{
	(void)putchar_unlocked(c);
}

/* Arguments in single quotes, the NUL between two of them as what stands there. */
static void put_quoted(char c)
{
	static bool inside;

	if (!inside)
		(void)fputs(" '", stdout);
	inside = c != '\0';
	if (c == '\0')
		put_plain('\'');
	else if (c == '\'')
		(void)fputs("'\\''", stdout);
	else
		put_plain(c);
}

int guest_shell(void)
{
	char head[64], *end;
	size_t n = 0;

	while (n < sizeof(head) - 1 && read(STDIN_FILENO, head + n, 1) == 1 && head[n] != '\n')
		n++;
	head[n] = '\0';
	unsigned long long args = strtoull(head, &end, 10), code = strtoull(end, NULL, 10);

	if (end == head || *end != ' ')
		return 1;
	(void)fputs("set --", stdout);
	if (!copy(args, put_quoted))
		return 1;
	(void)fputs("; ", stdout);	/* on one line, so that the shell's words name the code's own lines */
	return copy(code, put_plain) && fflush(stdout) == 0 ? 0 : 1;
}
