/* SPDX-License-Identifier: MIT
 *
 * lua_spawn: how a supervisor is started: directly, or by the zygote; over a pair of our own, or over a connection that a host
 * made which can wait for no other.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lua_conn.h"
#include "lua_util.h"
#include "sbx_launch.h"
#include "sbx_zygote.h"

#define LISTENER "sandbox.listener"
#define ZYGOTE "sandbox.zygote"
#define LINE "sandbox.line"
#define IDENTITY "sandbox.identity"

static struct sbx_zygote *opt_zygote(lua_State *L, int arg)
{
	return lua_isnoneornil(L, arg) ? NULL : luaL_checkudata(L, arg, ZYGOTE);
}

/* By a zygote, where there is one that serves; else directly. */
static int launch(struct sbx_zygote *z, const char *path, int control, int line, bool again)
{
	return z && sbx_zygote_spawn(z, control, line, again) == 0 ? 0 : sbx_launch(path, control, line);
}

static int fail_start(lua_State *L, const char *path, int err)
{
	lua_pushnil(L);
	lua_pushfstring(L, "cannot start the supervisor %s: %s", path, strerror(err));
	lua_pushliteral(L, "system");
	return 3;
}

/* core.spawn(supervisor, zygote or nil, again) -> conn, or nil, message, "system". again: as sbx_zygote_spawn has it. */
static int core_spawn(lua_State *L)
{
	const char *path = lua_util_path(L, 1);
	struct sbx_zygote *z = opt_zygote(L, 2);
	bool again = lua_toboolean(L, 3);
	struct conn *c = lua_conn_new(L);
	int control = lua_conn_open(c);

	if (control < 0)
		return lua_util_fail_text(L, strerror(errno));
	int err = launch(z, path, control, -1, again);

	close(control);
	if (!err)
		return 1;
	lua_conn_shut(c);
	return fail_start(L, path, err);
}

/* A unix socket to ourselves, for hosts that can wait for sockets of their own making only (nginx's cosockets). */
struct listener {
	struct sbx_fd fd;
	char dir[64], path[80];
};

static void unlisten(struct listener *l)
{
	sbx_fd_close(&l->fd);
	if (l->path[0])
		(void)unlink(l->path);
	if (l->dir[0])
		(void)rmdir(l->dir);
	l->path[0] = l->dir[0] = '\0';
}

static int listener_close(lua_State *L)
{
	unlisten(luaL_checkudata(L, 1, LISTENER));
	return 0;
}

/* core.ctl_listen() -> listener, path */
static int core_ctl_listen(lua_State *L)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	struct listener *l = lua_newuserdata(L, sizeof(*l));

	memset(l, 0, sizeof(*l));
	l->fd = SBX_FD_NONE;
	luaL_getmetatable(L, LISTENER);
	lua_setmetatable(L, -2);
	/* In memory where that can be: on a disk its journal takes longer than all the rest. */
	strcpy(l->dir, "/dev/shm/lua-sandbox-ctl.XXXXXX");
	if (!mkdtemp(l->dir) && !mkdtemp(strcpy(l->dir, "/tmp/lua-sandbox-ctl.XXXXXX"))) {
		l->dir[0] = '\0';
		return lua_util_fail(L, errno, "mkdtemp");
	}
	(void)stpcpy(stpcpy(l->path, l->dir), "/s");
	(void)strcpy(a.sun_path, l->path);
	if (sbx_fd_take(&l->fd, socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) < 0 ||
	    bind(l->fd.number, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(l->fd.number, 4) < 0) {
		int err = errno;

		unlisten(l);
		return lua_util_fail(L, err, "listen");
	}
	lua_pushstring(L, l->path);
	return 2;
}

/* Our own connection to a listener, which ends; or -1: somebody of the same user may have been quicker, and counts for nothing. */
static int take_own(struct listener *l)
{
	struct ucred peer = { 0, 0, 0 };
	socklen_t len = sizeof(peer);
	int fd;

	while ((fd = accept4(sbx_fd_get(&l->fd), NULL, NULL, SOCK_CLOEXEC)) >= 0) {
		if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 && peer.pid == getpid())
			break;
		close(fd);
	}
	unlisten(l);
	return fd;
}

/* A line to a supervisor, for those who may not use its connection. */
struct line {
	struct sbx_fd fd;
};

static struct line *new_line(lua_State *L)
{
	struct line *line = lua_newuserdata(L, sizeof(*line));

	line->fd = SBX_FD_NONE;
	luaL_getmetatable(L, LINE);
	lua_setmetatable(L, -2);
	return line;
}

/* line:send(number of a signal, 0 the end of all) -> whether the supervisor is there; never waits. */
static int line_send(lua_State *L)
{
	struct line *line = luaL_checkudata(L, 1, LINE);
	unsigned char signo = (unsigned char)lua_util_number(L, 2, 0, 255);

	lua_pushboolean(L, send(sbx_fd_get(&line->fd), &signo, 1, MSG_NOSIGNAL | MSG_DONTWAIT) == 1);
	return 1;
}

/* line:gone() -> whether the supervisor has ended. */
static int line_gone(lua_State *L)
{
	struct line *line = luaL_checkudata(L, 1, LINE);
	char byte;

	lua_pushboolean(L, recv(sbx_fd_get(&line->fd), &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0 || errno != EAGAIN);
	return 1;
}

static int line_close(lua_State *L)
{
	struct line *line = luaL_checkudata(L, 1, LINE);

	sbx_fd_close(&line->fd);
	return 0;
}

/* core.ctl_spawn(listener, supervisor, zygote or nil) -> line: our own connection goes to a new supervisor; ends the listener. */
static int core_ctl_spawn(lua_State *L)
{
	struct listener *l = luaL_checkudata(L, 1, LISTENER);
	const char *path = lua_util_path(L, 2);
	struct sbx_zygote *z = opt_zygote(L, 3);
	struct line *line = new_line(L);
	int pair[2] = { -1, -1 }, control = take_own(l), err = control < 0 ? EAGAIN : 0;

	if (!err && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		err = errno;
	if (!err && sbx_fd_take(&line->fd, pair[0]) < 0)
		err = errno;
	if (!err)
		err = launch(z, path, control, pair[1], false);
	if (pair[1] >= 0)
		close(pair[1]);
	if (control >= 0)
		close(control);
	return err ? fail_start(L, path, err) : 1;
}

/* core.zygote(supervisor) -> zygote, or nil, message, "system" */
static int core_zygote(lua_State *L)
{
	const char *path = lua_util_path(L, 1);
	struct sbx_zygote *z = lua_newuserdata(L, sizeof(*z));

	z->fd = SBX_FD_NONE;
	luaL_getmetatable(L, ZYGOTE);
	lua_setmetatable(L, -2);
	int err = sbx_zygote_start(z, path);

	return err ? fail_start(L, path, err) : 1;
}

/* zygote:serves() -> whether the caller is who it was started for; core.spawn asks for itself, and closes one that is not. */
static int zygote_serves(lua_State *L)
{
	struct sbx_zygote *z = luaL_checkudata(L, 1, ZYGOTE);
	int fresh = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	lua_pushboolean(L, sbx_zygote_serves(z, fresh));
	if (fresh >= 0)
		close(fresh);
	return 1;
}

/* zygote:closed() -> whether it has been: it is to be replaced. core.spawn closes one that does not serve the caller, or whose descriptor
 * was taken away. */
static int zygote_closed(lua_State *L)
{
	struct sbx_zygote *z = luaL_checkudata(L, 1, ZYGOTE);

	lua_pushboolean(L, z->fd.number < 0 || z->owner.pid != getpid());
	return 1;
}

static int zygote_close(lua_State *L)
{
	sbx_zygote_close(luaL_checkudata(L, 1, ZYGOTE));
	return 0;
}

/* Who the last caller was, one of each Lua state. */
struct identity {
	struct sbx_self self;
	lua_Number number;
};

/* core.identity() -> a number that is another one as soon as the kernel takes the caller for somebody else than at the last call. */
static int core_identity(lua_State *L)
{
	struct sbx_self now;

	lua_getfield(L, LUA_REGISTRYINDEX, IDENTITY);
	struct identity *last = lua_touserdata(L, -1);

	sbx_self_read(&now, -1);
	if (!sbx_self_same(&last->self, &now)) {
		last->self = now;
		last->number++;
	}
	lua_pushnumber(L, last->number);
	return 1;
}

static const luaL_Reg listener_methods[] = {
	{ "close", listener_close }, { "__gc", listener_close }, { "__close", listener_close }, { NULL, NULL },
};

static const luaL_Reg line_methods[] = {
	{ "send", line_send }, { "gone", line_gone }, { "close", line_close }, { "__gc", line_close }, { "__close", line_close }, { NULL, NULL },
};

static const luaL_Reg zygote_methods[] = {
	{ "serves", zygote_serves }, { "closed", zygote_closed }, { "close", zygote_close }, { "__gc", zygote_close }, { "__close", zygote_close }, { NULL, NULL },
};

static const luaL_Reg functions[] = {
	{ "spawn", core_spawn }, { "zygote", core_zygote }, { "ctl_listen", core_ctl_listen },
	{ "ctl_spawn", core_ctl_spawn }, { "identity", core_identity }, { NULL, NULL },
};

void lua_spawn_register(lua_State *L)
{
	lua_util_class(L, LISTENER, listener_methods);
	lua_util_class(L, ZYGOTE, zygote_methods);
	lua_util_class(L, LINE, line_methods);
	memset(lua_newuserdata(L, sizeof(struct identity)), 0, sizeof(struct identity));
	lua_setfield(L, LUA_REGISTRYINDEX, IDENTITY);
	sbx_compat_setfuncs(L, functions);
}
