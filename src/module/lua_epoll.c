/* SPDX-License-Identifier: MIT
 *
 * lua_epoll: what our own loop waits with: the cost of a wait does not grow with the number of jobs. One-shot: who waits
 * again says so again.
 */
#include <errno.h>
#include <math.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lua_util.h"
#include "sbx_fd.h"

#define EPOLL "sandbox.epoll"
#define BATCH 64

/*
 * All epolls have one inode; what this one watches tells it from others: a socket of ours, which nobody ever writes to. A forked copy
 * of the host must not change what its parent waits for, and has one of its own.
 */
struct epoll {
	int fd;			/* -1: none */
	struct sbx_fd mark;
	pid_t owner;
	int closed, renewed;
};

static int is_ours(const struct epoll *ep)
{
	struct epoll_event none = { .events = 0 };
	int mark = sbx_fd_get(&ep->mark);

	return ep->fd >= 0 && mark >= 0 && epoll_ctl(ep->fd, EPOLL_CTL_MOD, mark, &none) == 0;
}

static void let_go(struct epoll *ep)
{
	if (is_ours(ep))
		close(ep->fd);
	ep->fd = -1;
	sbx_fd_close(&ep->mark);
}

/* 0, or an errno. */
static int make(struct epoll *ep)
{
	struct epoll_event none = { .events = 0 };

	ep->owner = getpid();
	if (sbx_fd_take(&ep->mark, socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) < 0)
		return errno;
	ep->fd = epoll_create1(EPOLL_CLOEXEC);
	if (ep->fd >= 0 && epoll_ctl(ep->fd, EPOLL_CTL_ADD, ep->mark.number, &none) == 0)
		return 0;
	int err = errno;

	if (ep->fd >= 0)
		close(ep->fd);
	ep->fd = -1;
	sbx_fd_close(&ep->mark);
	return err;
}

/* One that serves: what was waited for with another is to be said again, which the next wait tells. */
static struct epoll *check_epoll(lua_State *L)
{
	struct epoll *ep = luaL_checkudata(L, 1, EPOLL);

	if (ep->closed)
		luaL_error(L, "attempt to use a closed epoll");
	if (ep->owner == getpid() && is_ours(ep))
		return ep;
	let_go(ep);
	ep->renewed = 1;
	int err = make(ep);

	if (err)
		luaL_error(L, "epoll_create1: %s", strerror(err));
	return ep;
}

static int epoll_close(lua_State *L)
{
	struct epoll *ep = luaL_checkudata(L, 1, EPOLL);

	if (!ep->closed)
		let_go(ep);
	ep->closed = 1;
	return 0;
}

/* ep:fd(): readable while a descriptor that was asked for is ready. */
static int epoll_fd(lua_State *L)
{
	lua_pushinteger(L, check_epoll(L)->fd);
	return 1;
}

/* ep:want(fd, events): tell once when the descriptor is ready. */
static int epoll_want(lua_State *L)
{
	int ep = check_epoll(L)->fd, fd = (int)lua_util_number(L, 2, 0, 1e9);
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

	(void)epoll_ctl(check_epoll(L)->fd, EPOLL_CTL_DEL, (int)lua_util_number(L, 2, 0, 1e9), &e);
	return 0;
}

/* ep:wait(seconds or nil) -> list of ready descriptors; nil: the epoll was taken away, and whoever waits has to say so again */
static int epoll_poll(lua_State *L)
{
	struct epoll *ep = check_epoll(L);
	double seconds = lua_isnoneornil(L, 2) ? -1 : lua_util_number(L, 2, 0, 1e9);
	struct epoll_event e[BATCH];

	if (ep->renewed) {
		ep->renewed = 0;
		return 0;
	}
	/* A signal ends it early: an interpreter that was told to stop (^C) must get to run. */
	int n = epoll_wait(ep->fd, e, BATCH, seconds < 0 ? -1 : seconds > 1e6 ? 1000000000 : (int)ceil(seconds * 1000));
	lua_createtable(L, n > 0 ? n : 0, 0);
	for (int i = 0; i < n; i++) {
		lua_pushinteger(L, e[i].data.fd);
		lua_rawseti(L, -2, i + 1);
	}
	return 1;
}

static int core_epoll(lua_State *L)
{
	struct epoll *ep = lua_newuserdata(L, sizeof(*ep));

	*ep = (struct epoll){ .fd = -1, .mark = SBX_FD_NONE };
	luaL_getmetatable(L, EPOLL);
	lua_setmetatable(L, -2);
	int err = make(ep);

	return err ? lua_util_fail(L, err, "epoll_create1") : 1;
}

static const luaL_Reg methods[] = {
	{ "fd", epoll_fd }, { "want", epoll_want }, { "forget", epoll_forget }, { "wait", epoll_poll }, { "close", epoll_close },
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
