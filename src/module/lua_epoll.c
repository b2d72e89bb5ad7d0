/* SPDX-License-Identifier: MIT
 *
 * lua_epoll: what our own loop waits with: the cost of a wait does not grow with the number of jobs. One-shot: who waits
 * again says so again.
 */
#include <errno.h>
#include <math.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "lua_util.h"

#define EPOLL "sandbox.epoll"
#define BATCH 64

static int *check_epoll(lua_State *L)
{
	int *fd = luaL_checkudata(L, 1, EPOLL);

	if (*fd < 0)
		luaL_error(L, "attempt to use a closed epoll");
	return fd;
}

static int epoll_close(lua_State *L)
{
	int *fd = luaL_checkudata(L, 1, EPOLL);

	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	return 0;
}

/* ep:want(fd, events): tell once when the descriptor is ready. */
static int epoll_want(lua_State *L)
{
	int ep = *check_epoll(L), fd = (int)lua_util_number(L, 2, 0, 1e9);
	const char *s = luaL_checkstring(L, 3);
	struct epoll_event e = { .events = EPOLLONESHOT | (strchr(s, 'r') ? EPOLLIN : 0) | (strchr(s, 'w') ? EPOLLOUT : 0) };

	e.data.fd = fd;
	if (epoll_ctl(ep, EPOLL_CTL_MOD, fd, &e) < 0 && (errno != ENOENT || epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e) < 0))
		return lua_util_fail(L, errno, "epoll_ctl");
	lua_pushboolean(L, 1);
	return 1;
}

static int epoll_forget(lua_State *L)
{
	struct epoll_event e = { .events = 0 };

	(void)epoll_ctl(*check_epoll(L), EPOLL_CTL_DEL, (int)lua_util_number(L, 2, 0, 1e9), &e);
	return 0;
}

/* ep:wait(seconds or nil) -> list of ready descriptors */
static int epoll_poll(lua_State *L)
{
	int ep = *check_epoll(L), n;
	double seconds = lua_isnoneornil(L, 2) ? -1 : lua_util_number(L, 2, 0, 1e9);
	struct epoll_event e[BATCH];

	/* A signal ends it early: an interpreter that was told to stop (^C) must get to run. */
	n = epoll_wait(ep, e, BATCH, seconds < 0 ? -1 : seconds > 1e6 ? 1000000000 : (int)ceil(seconds * 1000));
	lua_createtable(L, n > 0 ? n : 0, 0);
	for (int i = 0; i < n; i++) {
		lua_pushinteger(L, e[i].data.fd);
		lua_rawseti(L, -2, i + 1);
	}
	return 1;
}

static int core_epoll(lua_State *L)
{
	int *fd = lua_newuserdata(L, sizeof(*fd));

	*fd = -1;
	luaL_getmetatable(L, EPOLL);
	lua_setmetatable(L, -2);
	*fd = epoll_create1(EPOLL_CLOEXEC);
	return *fd < 0 ? lua_util_fail(L, errno, "epoll_create1") : 1;
}

static const luaL_Reg methods[] = {
	{ "want", epoll_want }, { "forget", epoll_forget }, { "wait", epoll_poll }, { "close", epoll_close },
	{ "__gc", epoll_close }, { NULL, NULL },
};

void lua_epoll_register(lua_State *L)
{
	luaL_newmetatable(L, EPOLL);
	sbx_compat_setfuncs(L, methods);
	lua_pushvalue(L, -1);
	lua_setfield(L, -2, "__index");
	lua_pop(L, 1);
	lua_pushcfunction(L, core_epoll);
	lua_setfield(L, -2, "epoll");
}
