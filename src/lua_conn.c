/* SPDX-License-Identifier: MIT
 *
 * lua_conn: the connection to one supervisor as a userdata: frames out, frames in, never waiting. With a descriptor of its
 * own, or without (core.frames), for hosts whose sockets carry the bytes.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lua_util.h"
#include "sbx_buf.h"
#include "sbx_launch.h"
#include "sbx_wire.h"
#include "sbx_zygote.h"

#define CONN "sandbox.conn"
#define LISTENER "sandbox.listener"
#define ZYGOTE "sandbox.zygote"
#define READ_MAX (1024u * 1024u)
/* A frame that is being received and all that a full socket held behind it. */
#define IN_MAX (4u * 1024u * 1024u)
#define OUT_MAX (1024u * 1024u * 1024u)

struct conn {
	int fd;			/* -1: closed, or bytes are fed */
	pid_t owner;		/* a forked copy must not end the parent's run */
	int eof, closed;
	struct sbx_buf in, out;
};

static struct conn *check_conn(lua_State *L)
{
	return luaL_checkudata(L, 1, CONN);
}

static struct conn *new_conn(lua_State *L)
{
	struct conn *c = lua_newuserdata(L, sizeof(*c));

	memset(c, 0, sizeof(*c));
	c->fd = -1;
	c->owner = getpid();
	luaL_getmetatable(L, CONN);
	lua_setmetatable(L, -2);
	return c;
}

static void shut(struct conn *c)
{
	c->closed = 1;
	if (c->fd >= 0) {
		/* close alone would leave the supervisor running while a forked child holds a copy. */
		if (c->owner == getpid())
			(void)shutdown(c->fd, SHUT_RDWR);
		close(c->fd);
	}
	c->fd = -1;
	sbx_buf_destroy(&c->in);
	sbx_buf_destroy(&c->out);
}

static int conn_close(lua_State *L)
{
	shut(check_conn(L));
	return 0;
}

/* A connection of our own to itself: one end in c, the other returned; or -1. */
static int open_pair(struct conn *c)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return -1;
	c->fd = pair[0];
	/* A host may run with its standard streams closed: what it prints must not become frames. */
	if (c->fd < 3) {
		c->fd = fcntl(pair[0], F_DUPFD_CLOEXEC, 3);
		close(pair[0]);
	}
	(void)fcntl(c->fd, F_SETFL, O_NONBLOCK);
	return pair[1];
}

static struct sbx_zygote *opt_zygote(lua_State *L, int arg)
{
	return lua_isnoneornil(L, arg) ? NULL : luaL_checkudata(L, arg, ZYGOTE);
}

/* By a zygote, where there is one that serves; else directly. */
static int launch(struct sbx_zygote *z, const char *path, int control)
{
	return z && sbx_zygote_spawn(z, control) == 0 ? 0 : sbx_launch(path, control);
}

static int fail_start(lua_State *L, const char *path, int err)
{
	lua_pushnil(L);
	lua_pushfstring(L, "cannot start the supervisor %s: %s", path, strerror(err));
	lua_pushliteral(L, "system");
	return 3;
}

/* core.spawn(supervisor, zygote or nil) -> conn, or nil, message, "system" */
static int core_spawn(lua_State *L)
{
	const char *path = lua_util_path(L, 1);
	struct sbx_zygote *z = opt_zygote(L, 2);
	struct conn *c = new_conn(L);
	int control = open_pair(c);

	if (control < 0)
		return lua_util_fail_text(L, strerror(errno));
	int err = launch(z, path, control);

	close(control);
	if (!err)
		return 1;
	shut(c);
	return fail_start(L, path, err);
}

static int core_frames(lua_State *L)
{
	(void)new_conn(L);
	return 1;
}

static int conn_fd(lua_State *L)
{
	struct conn *c = check_conn(L);

	if (c->fd >= 0)
		lua_pushinteger(L, c->fd);
	else
		lua_pushnil(L);
	return 1;
}

/* 0, or an errno where the peer is gone: then nothing is queued any more. */
static int flush(struct conn *c)
{
	while (c->fd >= 0 && c->out.len) {
		ssize_t n = send(c->fd, c->out.bytes + c->out.off, c->out.len, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			int err = errno;

			if (err != EAGAIN)
				sbx_buf_destroy(&c->out);
			return err == EAGAIN ? 0 : err;
		}
		sbx_buf_take(&c->out, (size_t)n);
	}
	return 0;
}

static int conn_send(lua_State *L)
{
	struct conn *c = check_conn(L);
	size_t k, n;
	const char *type = luaL_checklstring(L, 2, &k);
	const char *payload = luaL_optlstring(L, 3, "", &n);
	int64_t limit = k == 1 ? sbx_wire_limit((uint8_t)type[0]) : -1;

	luaL_argcheck(L, limit >= 0, 2, "no such frame");
	luaL_argcheck(L, (uint64_t)limit >= n, 3, "frame too large");
	if (c->closed)
		return luaL_error(L, "attempt to use a closed connection");
	unsigned char *to = sbx_buf_room(&c->out, SBX_WIRE_HEADER + n, OUT_MAX);

	if (!to)
		return luaL_error(L, "not enough memory");
	sbx_wire_put_header(to, (uint8_t)type[0], (uint32_t)n);
	memcpy(to + SBX_WIRE_HEADER, payload, n);
	sbx_buf_add(&c->out, SBX_WIRE_HEADER + n);
	int err = flush(c);

	if (err)
		return lua_util_fail(L, err, "send");
	lua_pushboolean(L, 1);
	return 1;
}

static int conn_flush(lua_State *L)
{
	struct conn *c = check_conn(L);
	int err = flush(c);

	if (err)
		return lua_util_fail(L, err, "send");
	lua_pushinteger(L, (lua_Integer)c->out.len);
	return 1;
}

static int conn_queued(lua_State *L)
{
	lua_pushinteger(L, (lua_Integer)check_conn(L)->out.len);
	return 1;
}

/* true: bytes came; false: none now; nil: the end. */
static int conn_recv(lua_State *L)
{
	struct conn *c = check_conn(L);
	size_t got = 0;

	while (c->fd >= 0 && !c->eof && got < READ_MAX) {
		unsigned char *to = sbx_buf_room(&c->in, 256 * 1024, IN_MAX);

		if (!to)
			break;	/* what is there must be taken first */
		ssize_t n = recv(c->fd, to, 256 * 1024, MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n <= 0) {	/* ECONNRESET: it ended without reading all of ours */
			c->eof = 1;
			break;
		}
		sbx_buf_add(&c->in, (size_t)n);
		got += (size_t)n;
	}
	if (!got && (c->eof || c->closed))
		lua_pushnil(L);
	else
		lua_pushboolean(L, got > 0);
	return 1;
}

static int conn_next(lua_State *L)
{
	struct conn *c = check_conn(L);
	uint8_t type;
	uint32_t n;
	int rc = c->in.len ? sbx_wire_get_header(c->in.bytes + c->in.off, c->in.len, &type, &n) : 0;

	if (rc < 0) {
		shut(c);
		return luaL_error(L, "the supervisor sent what is no frame");
	}
	if (rc == 0 || c->in.len < SBX_WIRE_HEADER + (size_t)n)
		return 0;
	char name = (char)type;

	lua_pushlstring(L, &name, 1);
	lua_pushlstring(L, (const char *)c->in.bytes + c->in.off + SBX_WIRE_HEADER, n);
	sbx_buf_take(&c->in, SBX_WIRE_HEADER + (size_t)n);
	return 2;
}

static int conn_feed(lua_State *L)
{
	struct conn *c = check_conn(L);
	size_t n;
	const char *bytes = luaL_checklstring(L, 2, &n);
	unsigned char *to = sbx_buf_room(&c->in, n, (size_t)IN_MAX + n);

	if (!to)
		return luaL_error(L, "not enough memory");
	memcpy(to, bytes, n);
	sbx_buf_add(&c->in, n);
	return 0;
}

static int conn_take(lua_State *L)
{
	struct conn *c = check_conn(L);
	size_t n = c->out.len < READ_MAX ? c->out.len : READ_MAX;

	lua_pushlstring(L, n ? (const char *)c->out.bytes + c->out.off : "", n);
	if (n)
		sbx_buf_take(&c->out, n);
	return 1;
}

static int conn_closed(lua_State *L)
{
	lua_pushboolean(L, check_conn(L)->closed);
	return 1;
}

static int conn_owned(lua_State *L)
{
	lua_pushboolean(L, check_conn(L)->owner == getpid());
	return 1;
}

static int conn_tostring(lua_State *L)
{
	struct conn *c = check_conn(L);

	lua_pushfstring(L, "sandbox.conn (%s)", c->closed ? "closed" : "open");
	return 1;
}

/* A unix socket to ourselves, for hosts that can wait for sockets of their own making only (nginx's cosockets). */
struct listener {
	int fd;
	char dir[64], path[80];
};

static void unlisten(struct listener *l)
{
	if (l->fd >= 0)
		close(l->fd);
	l->fd = -1;
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
	l->fd = -1;
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
	l->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (l->fd < 0 || bind(l->fd, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(l->fd, 4) < 0) {
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

	while ((fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
		if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 && peer.pid == getpid())
			break;
		close(fd);
	}
	unlisten(l);
	return fd;
}

/* core.ctl_spawn(listener, supervisor, zygote or nil) -> true: our own connection goes to a new supervisor; ends the listener. */
static int core_ctl_spawn(lua_State *L)
{
	struct listener *l = luaL_checkudata(L, 1, LISTENER);
	const char *path = lua_util_path(L, 2);
	struct sbx_zygote *z = opt_zygote(L, 3);
	int control = take_own(l), err = control < 0 ? EAGAIN : launch(z, path, control);

	if (control >= 0)
		close(control);
	if (err)
		return fail_start(L, path, err);
	lua_pushboolean(L, 1);
	return 1;
}

/* core.zygote(supervisor) -> zygote, or nil, message, "system" */
static int core_zygote(lua_State *L)
{
	const char *path = lua_util_path(L, 1);
	struct sbx_zygote *z = lua_newuserdata(L, sizeof(*z));

	z->fd = -1;
	luaL_getmetatable(L, ZYGOTE);
	lua_setmetatable(L, -2);
	int err = sbx_zygote_start(z, path);

	return err ? fail_start(L, path, err) : 1;
}

/* zygote:serves() -> whether, as far as is known; one that does not is to be replaced */
static int zygote_serves(lua_State *L)
{
	lua_pushboolean(L, sbx_zygote_serves(luaL_checkudata(L, 1, ZYGOTE)));
	return 1;
}

static int zygote_close(lua_State *L)
{
	sbx_zygote_close(luaL_checkudata(L, 1, ZYGOTE));
	return 0;
}

static const luaL_Reg conn_methods[] = {
	{ "fd", conn_fd }, { "send", conn_send }, { "flush", conn_flush }, { "queued", conn_queued }, { "recv", conn_recv },
	{ "next", conn_next }, { "feed", conn_feed }, { "take", conn_take }, { "close", conn_close },
	{ "closed", conn_closed }, { "owned", conn_owned }, { "__gc", conn_close }, { "__close", conn_close },
	{ "__tostring", conn_tostring }, { NULL, NULL },
};

static const luaL_Reg listener_methods[] = {
	{ "close", listener_close }, { "__gc", listener_close }, { "__close", listener_close }, { NULL, NULL },
};

static const luaL_Reg zygote_methods[] = {
	{ "serves", zygote_serves }, { "close", zygote_close }, { "__gc", zygote_close }, { "__close", zygote_close }, { NULL, NULL },
};

static const luaL_Reg functions[] = {
	{ "spawn", core_spawn }, { "zygote", core_zygote }, { "frames", core_frames }, { "ctl_listen", core_ctl_listen },
	{ "ctl_spawn", core_ctl_spawn }, { NULL, NULL },
};

static void make_class(lua_State *L, const char *name, const luaL_Reg *methods)
{
	luaL_newmetatable(L, name);
	sbx_compat_setfuncs(L, methods);
	lua_pushvalue(L, -1);
	lua_setfield(L, -2, "__index");
	lua_pushliteral(L, "locked");
	lua_setfield(L, -2, "__metatable");
	lua_pop(L, 1);
}

void lua_conn_register(lua_State *L)
{
	make_class(L, CONN, conn_methods);
	make_class(L, LISTENER, listener_methods);
	make_class(L, ZYGOTE, zygote_methods);
	sbx_compat_setfuncs(L, functions);
}
