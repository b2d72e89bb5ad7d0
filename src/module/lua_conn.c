/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lua_conn.h"
#include "lua_util.h"
#include "sbx_buf.h"
#include "sbx_fd.h"
#include "sbx_wire.h"

#define CONN "sandbox.conn"
#define READ_MAX (1024u * 1024u)
/* Of one recv: at first what most runs say, then as much as a socket may hold. */
#define READ_FIRST (16u * 1024u)
#define READ_MORE (256u * 1024u)
/* A frame that is being received and all that a full socket held behind it. */
#define IN_MAX (4u * 1024u * 1024u)
#define OUT_MAX (1024u * 1024u * 1024u)

struct conn {
	struct sbx_fd fd;	/* none: closed, or bytes are fed */
	int own;		/* whether there was one */
	pid_t owner;		/* a forked copy must not end the parent's run */
	int eof, closed;
	struct sbx_buf in, out;
};

static struct conn *check_conn(lua_State *L)
{
	return luaL_checkudata(L, 1, CONN);
}

struct conn *lua_conn_new(lua_State *L)
{
	struct conn *c = lua_newuserdata(L, sizeof(*c));

	memset(c, 0, sizeof(*c));
	c->fd = SBX_FD_NONE;
	c->owner = getpid();
	luaL_getmetatable(L, CONN);
	lua_setmetatable(L, -2);
	return c;
}

void lua_conn_shut(struct conn *c)
{
	int fd = sbx_fd_get(&c->fd);

	c->closed = 1;
	/* close alone would leave the supervisor running while a forked child holds a copy. */
	if (fd >= 0 && c->owner == getpid())
		(void)shutdown(fd, SHUT_RDWR);
	if (fd >= 0)
		(void)close(fd);
	c->fd = SBX_FD_NONE;
	sbx_buf_destroy(&c->in);
	sbx_buf_destroy(&c->out);
}

static int conn_close(lua_State *L)
{
	lua_conn_shut(check_conn(L));
	return 0;
}

int lua_conn_open(struct conn *c)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return -1;
	if (sbx_fd_take(&c->fd, pair[0]) < 0) {
		int saved = errno;

		close(pair[1]);
		errno = saved;
		return -1;
	}
	c->own = 1;
	(void)fcntl(c->fd.number, F_SETFL, O_NONBLOCK);
	return pair[1];
}

/* core.dial(path) -> conn to a socket of our own user's, or nil, message, errno's name. Never waits. */
static int core_dial(lua_State *L)
{
	const char *path = lua_util_path(L, 1);
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	struct ucred peer = { 0, (uid_t)-1, (gid_t)-1 };
	socklen_t len = sizeof(peer);

	if (strlen(path) >= sizeof(a.sun_path))
		return lua_util_fail(L, ENAMETOOLONG, "connect");
	(void)strcpy(a.sun_path, path);
	struct conn *c = lua_conn_new(L);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0 || sbx_fd_take(&c->fd, fd) < 0)
		return lua_util_fail(L, errno, "socket");
	c->own = 1;
	int err = connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0 ? errno : 0;

	/* Whose it is: the directory may not be what it was. */
	if (!err && (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0 || peer.uid != geteuid()))
		err = EACCES;
	if (!err)
		return 1;
	lua_conn_shut(c);
	return lua_util_fail(L, err, "connect");
}

static int core_frames(lua_State *L)
{
	(void)lua_conn_new(L);
	return 1;
}

static int conn_fd(lua_State *L)
{
	int fd = sbx_fd_get(&check_conn(L)->fd);

	if (fd >= 0)
		lua_pushinteger(L, fd);
	else
		lua_pushnil(L);
	return 1;
}

/* 0, or an errno where the peer is gone, or the descriptor: then nothing is queued any more. */
static int flush(struct conn *c)
{
	while (c->own && !c->closed && c->out.len) {
		ssize_t n = send(sbx_fd_get(&c->fd), c->out.bytes + c->out.off, c->out.len, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			int err = errno;

			if (err == EAGAIN)
				return 0;
			/* What is lost would be waited for: the other end is to know that nothing more will come, and ends, as ours will. */
			sbx_buf_destroy(&c->out);
			(void)shutdown(sbx_fd_get(&c->fd), SHUT_WR);
			return err;
		}
		sbx_buf_take(&c->out, (size_t)n);
	}
	return 0;
}

/* conn:send(kind, payload, more) -> true, or nil, message, errno's name. more: another frame follows at once, and takes this along. */
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
	int err = lua_toboolean(L, 4) ? 0 : flush(c);

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
	size_t got = 0, room = READ_FIRST;
	int fd = c->own && !c->closed && !c->eof ? sbx_fd_get(&c->fd) : -1;

	while (c->own && !c->closed && !c->eof && got < READ_MAX) {
		unsigned char *to = sbx_buf_room(&c->in, room, IN_MAX);

		if (!to)
			break;	/* what is there must be taken first */
		ssize_t n = recv(fd, to, room, MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n <= 0) {	/* ECONNRESET: it ended without reading all of ours; EBADF: somebody took it away */
			c->eof = 1;
			break;
		}
		sbx_buf_add(&c->in, (size_t)n);
		got += (size_t)n;
		if ((size_t)n < room)	/* all that there was: an end will be told of by the next look */
			break;
		room = READ_MORE;
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
		lua_conn_shut(c);
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

static const luaL_Reg conn_methods[] = {
	{ "fd", conn_fd }, { "send", conn_send }, { "flush", conn_flush }, { "queued", conn_queued }, { "recv", conn_recv },
	{ "next", conn_next }, { "feed", conn_feed }, { "take", conn_take }, { "close", conn_close },
	{ "closed", conn_closed }, { "owned", conn_owned }, { "__gc", conn_close }, { "__close", conn_close },
	{ "__tostring", conn_tostring }, { NULL, NULL },
};

void lua_conn_register(lua_State *L)
{
	lua_util_class(L, CONN, conn_methods);
	lua_pushcfunction(L, core_frames);
	lua_setfield(L, -2, "frames");
	lua_pushcfunction(L, core_dial);
	lua_setfield(L, -2, "dial");
}
