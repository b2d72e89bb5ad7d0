/* SPDX-License-Identifier: MIT
 *
 * lua_console: the user's own terminal, for the command `sandbox shell` alone: raw while somebody sits at it, and as it was after every end
 * that a process hears of. The one place where signals are handled, for here the process is ours; nothing else calls it.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "lua_util.h"

#define CONSOLE "sandbox.console"

/* A signal's handler finds it here: a process has one terminal that it is controlled by. */
static struct {
	struct termios was, raw;
	int changed[2];		/* a pipe: a byte for each size */
	volatile sig_atomic_t held;
} console = { .changed = { -1, -1 } };

static const int deadly[] = { SIGINT, SIGQUIT, SIGTERM, SIGHUP, SIGPIPE, SIGALRM, SIGUSR1, SIGUSR2, SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL };

#define DEADLY (sizeof(deadly) / sizeof(deadly[0]))

static void restore(void)
{
	if (console.held)
		(void)tcsetattr(0, TCSANOW, &console.was);
	console.held = 0;
}

static void on_size(int signo)
{
	int saved = errno;

	(void)signo;
	(void)!write(console.changed[1], "", 1);
	errno = saved;
}

static void on_death(int signo)
{
	restore();
	(void)signal(signo, SIG_DFL);
	(void)raise(signo);
}

/* Stopped from outside: whoever has the terminal meanwhile finds it as it was. */
static void on_stop(int signo)
{
	int saved = errno;

	(void)tcsetattr(0, TCSANOW, &console.was);
	(void)raise(SIGSTOP);
	(void)tcsetattr(0, TCSANOW, &console.raw);
	on_size(signo);
	errno = saved;
}

static void handle(int signo, void (*f)(int))
{
	struct sigaction a = { .sa_handler = f };

	(void)sigaction(signo, &a, NULL);
}

/* core.console() -> console, which is raw from now on; or nil, message, errno's name: "ENOTTY", stdin is no terminal */
static int console_open(lua_State *L)
{
	(void)lua_newuserdata(L, 1);
	luaL_getmetatable(L, CONSOLE);
	lua_setmetatable(L, -2);
	if (console.held)
		return lua_util_fail(L, EBUSY, "terminal");
	if (tcgetattr(0, &console.was) < 0)
		return lua_util_fail(L, errno, "terminal");
	if (console.changed[0] < 0 && pipe2(console.changed, O_CLOEXEC | O_NONBLOCK) < 0)
		return lua_util_fail(L, errno, "pipe");
	console.raw = console.was;
	cfmakeraw(&console.raw);
	handle(SIGWINCH, on_size);
	handle(SIGTSTP, on_stop);
	for (unsigned i = 0; i < DEADLY; i++)
		handle(deadly[i], on_death);
	console.held = 1;
	if (tcsetattr(0, TCSANOW, &console.raw) < 0)
		return lua_util_fail(L, errno, "terminal");
	return 1;
}

/* console:size() -> rows, columns, at least 1 each. What has changed until now is forgotten. */
static int console_size(lua_State *L)
{
	struct winsize w = { 0 };
	char bytes[64];

	while (read(console.changed[0], bytes, sizeof(bytes)) > 0)
		;
	(void)ioctl(0, TIOCGWINSZ, &w);
	lua_pushinteger(L, w.ws_row ? w.ws_row : 24);
	lua_pushinteger(L, w.ws_col ? w.ws_col : 80);
	return 2;
}

/* console:pollfd() -> a descriptor that can be read when the size is another */
static int console_pollfd(lua_State *L)
{
	lua_pushinteger(L, console.changed[0]);
	return 1;
}

/* console:read() -> what was typed, "" if nothing was; nil: the terminal is gone */
static int console_read(lua_State *L)
{
	char bytes[4096];
	ssize_t n = read(0, bytes, sizeof(bytes));

	if (n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN))
		return 0;
	lua_pushlstring(L, bytes, n > 0 ? (size_t)n : 0);
	return 1;
}

/* console:close(): the terminal is as it was, and signals have their default. Once more does nothing. */
static int console_close(lua_State *L)
{
	(void)L;
	if (!console.held)
		return 0;
	restore();
	handle(SIGWINCH, SIG_DFL);
	handle(SIGTSTP, SIG_DFL);
	for (unsigned i = 0; i < DEADLY; i++)
		handle(deadly[i], SIG_DFL);
	return 0;
}

static const luaL_Reg methods[] = {
	{ "size", console_size }, { "pollfd", console_pollfd }, { "read", console_read }, { "close", console_close },
	{ "__gc", console_close }, { "__close", console_close }, { NULL, NULL },
};

static const luaL_Reg functions[] = { { "console", console_open }, { NULL, NULL } };

void lua_console_register(lua_State *L)
{
	lua_util_class(L, CONSOLE, methods);
	sbx_compat_setfuncs(L, functions);
}
