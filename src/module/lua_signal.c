/* SPDX-License-Identifier: MIT
 *
 * lua_signal: signals as something to wait for, for programs of our own (the command `sandbox`). A library never calls this: what a host
 * does with its signals is the host's.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "lua_util.h"
#include "sbx_fd.h"

#define SIGNALS "sandbox.signals"

/*
 * core.signals(number, ...) -> signals, or nil, message, errno's name. From then on these signals do nothing to this process: they are
 * blocked, in the calling thread, for as long as it lives, and are read. What is started meanwhile has none blocked (sbx_launch).
 */
static int core_signals(lua_State *L)
{
	int n = lua_gettop(L);
	sigset_t set;

	(void)sigemptyset(&set);
	for (int i = 1; i <= n; i++)
		(void)sigaddset(&set, (int)lua_util_number(L, i, 1, 31));
	struct sbx_fd *f = lua_newuserdata(L, sizeof(*f));

	*f = SBX_FD_NONE;
	luaL_getmetatable(L, SIGNALS);
	lua_setmetatable(L, -2);
	if (sbx_fd_take(f, signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK)) < 0)
		return lua_util_fail(L, errno, "signalfd");
	int err = pthread_sigmask(SIG_BLOCK, &set, NULL);

	return err ? lua_util_fail(L, err, "sigmask") : 1;
}

static int signals_fd(lua_State *L)
{
	struct sbx_fd *f = luaL_checkudata(L, 1, SIGNALS);

	lua_pushinteger(L, sbx_fd_get(f));
	return 1;
}

/* signals:read() -> the number of one that has come, or nil; never waits */
static int signals_read(lua_State *L)
{
	struct sbx_fd *f = luaL_checkudata(L, 1, SIGNALS);
	struct signalfd_siginfo info;

	if (read(sbx_fd_get(f), &info, sizeof(info)) != (ssize_t)sizeof(info))
		return 0;
	lua_pushinteger(L, (lua_Integer)info.ssi_signo);
	return 1;
}

static int signals_gc(lua_State *L)
{
	sbx_fd_close(luaL_checkudata(L, 1, SIGNALS));
	return 0;
}

static const luaL_Reg methods[] = { { "fd", signals_fd }, { "read", signals_read }, { "__gc", signals_gc }, { NULL, NULL } };

/* core.close_on_exec(fd) -> true, or nil, message, errno's name: for descriptors that another library has made */
static int core_close_on_exec(lua_State *L)
{
	int fd = (int)lua_util_number(L, 1, 0, INT_MAX), flags = fcntl(fd, F_GETFD);

	if (flags < 0 || fcntl(fd, F_SETFD, flags | FD_CLOEXEC) < 0)
		return lua_util_fail(L, errno, "fcntl");
	lua_pushboolean(L, 1);
	return 1;
}

static const luaL_Reg functions[] = { { "signals", core_signals }, { "close_on_exec", core_close_on_exec }, { NULL, NULL } };

void lua_signal_register(lua_State *L)
{
	lua_util_class(L, SIGNALS, methods);
	sbx_compat_setfuncs(L, functions);
}
