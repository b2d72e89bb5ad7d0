/* SPDX-License-Identifier: MIT
 *
 * lua_sys: the few system calls that the policy in Lua needs: on files, on time, on descriptors that are ready. None but poll waits,
 * and none leaves a descriptor open but a reader, whose it is.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <math.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "lua_util.h"
#include "sbx_buf.h"
#include "sbx_fd.h"
#include "sbx_time.h"

static const char *type_of(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG: return "file";
	case S_IFDIR: return "directory";
	case S_IFLNK: return "link";
	case S_IFCHR: return "char";
	case S_IFBLK: return "block";
	case S_IFIFO: return "fifo";
	default: return "socket";
	}
}

static void set_number(lua_State *L, const char *key, double value)
{
	lua_pushnumber(L, value);
	lua_setfield(L, -2, key);
}

static int push_stat(lua_State *L, int flags)
{
	const char *path = lua_util_path(L, 1);
	struct stat st;

	if (fstatat(AT_FDCWD, path, &st, flags) < 0)
		return lua_util_fail(L, errno, path);
	lua_createtable(L, 0, 8);
	lua_pushstring(L, type_of(st.st_mode));
	lua_setfield(L, -2, "type");
	set_number(L, "uid", st.st_uid);
	set_number(L, "gid", st.st_gid);
	set_number(L, "mode", st.st_mode & 07777);
	set_number(L, "size", (double)st.st_size);
	set_number(L, "dev", (double)st.st_dev);
	set_number(L, "ino", (double)st.st_ino);
	set_number(L, "mtime", (double)st.st_mtim.tv_sec + (double)st.st_mtim.tv_nsec / 1e9);
	return 1;
}

static int sys_stat(lua_State *L)
{
	return push_stat(L, 0);
}

static int sys_lstat(lua_State *L)
{
	return push_stat(L, AT_SYMLINK_NOFOLLOW);
}

/* core.kind(path, whether not to follow a link) -> type and permissions, or nothing: where much is looked at, and no more is asked. */
static int sys_kind(lua_State *L)
{
	struct stat st;

	if (fstatat(AT_FDCWD, lua_util_path(L, 1), &st, lua_toboolean(L, 2) ? AT_SYMLINK_NOFOLLOW : 0) < 0)
		return 0;
	lua_pushstring(L, type_of(st.st_mode));
	lua_pushinteger(L, (lua_Integer)(st.st_mode & 07777));
	return 2;
}

/* A value's 16 hexadecimal digits. */
static char *put_hex(char *to, uint64_t value)
{
	for (int shift = 60; shift >= 0; shift -= 4)
		*to++ = "0123456789abcdef"[value >> shift & 15];
	return to;
}

/* core.stamp(path, ...) -> a string that is another one as soon as one of these files is another, has been written to, or has other permissions;
 * and when the last of them was changed, in whole seconds since 1970. */
static int sys_stamp(lua_State *L)
{
	int n = lua_gettop(L);
	time_t newest = 0;
	luaL_Buffer b;

	for (int i = 1; i <= n; i++)
		(void)lua_util_path(L, i);
	luaL_buffinit(L, &b);
	for (int i = 1; i <= n; i++) {
		char text[5 * 16] = "-", *end = text + 1;
		struct stat st;

		if (stat(lua_util_path(L, i), &st) == 0) {
			end = put_hex(put_hex(put_hex(text, st.st_dev), st.st_ino), (uint64_t)st.st_size);
			end = put_hex(put_hex(end, (uint64_t)st.st_ctim.tv_sec), (uint64_t)st.st_ctim.tv_nsec);
			newest = st.st_ctim.tv_sec > newest ? st.st_ctim.tv_sec : newest;
		}
		luaL_addlstring(&b, text, (size_t)(end - text));
	}
	luaL_pushresult(&b);
	lua_pushnumber(L, (lua_Number)newest);
	return 2;
}

static int sys_realpath(lua_State *L)
{
	char out[PATH_MAX];
	const char *path = lua_util_path(L, 1);

	if (!realpath(path, out))
		return lua_util_fail(L, errno, path);
	lua_pushstring(L, out);
	return 1;
}

static int result(lua_State *L, int rc, const char *op)
{
	if (rc < 0)
		return lua_util_fail(L, errno, op);
	lua_pushboolean(L, 1);
	return 1;
}

static int sys_mkdir(lua_State *L)
{
	const char *path = lua_util_path(L, 1);
	mode_t mode = (mode_t)lua_util_number(L, 2, 0, 07777);

	if (mkdir(path, mode & 0700) < 0)	/* never wider than wanted, whatever the umask */
		return lua_util_fail(L, errno, path);
	return result(L, chmod(path, mode), path);
}

static int sys_access_x(lua_State *L)
{
	lua_pushboolean(L, faccessat(AT_FDCWD, lua_util_path(L, 1), X_OK, AT_EACCESS) == 0);
	return 1;
}

/* Bytes of malloc's as a userdata: pushing what they hold may raise. */
#define BYTES "sandbox.bytes"

static int bytes_gc(lua_State *L)
{
	sbx_buf_destroy(luaL_checkudata(L, 1, BYTES));
	return 0;
}

/* The names in a directory, each ended by NUL. 0, or an errno. */
static int read_names(const char *path, struct sbx_buf *names)
{
	DIR *d = opendir(path);
	int err = d ? 0 : errno;

	for (struct dirent *e; d && !err && (e = readdir(d));) {
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		size_t n = strlen(e->d_name) + 1;
		unsigned char *to = sbx_buf_room(names, n, SIZE_MAX);

		if (!to) {
			err = ENOMEM;
			break;
		}
		memcpy(to, e->d_name, n);
		sbx_buf_add(names, n);
	}
	if (d)
		closedir(d);
	return err;
}

static int sys_readdir(lua_State *L)
{
	const char *path = lua_util_path(L, 1);
	struct sbx_buf *names = lua_newuserdata(L, sizeof(*names));

	memset(names, 0, sizeof(*names));
	luaL_getmetatable(L, BYTES);
	lua_setmetatable(L, -2);
	int err = read_names(path, names), n = 0;

	if (err)
		return lua_util_fail(L, err, path);
	lua_newtable(L);
	for (size_t at = 0; at < names->len; at += strlen((char *)names->bytes + at) + 1) {
		lua_pushstring(L, (char *)names->bytes + at);
		lua_rawseti(L, -2, ++n);
	}
	sbx_buf_destroy(names);
	return 1;
}

/* A regular file that is read bit by bit, unlike one of Lua's own: close-on-exec, and never another's descriptor. */
#define READER "sandbox.reader"

/* core.reader(path[, no_link]) -> reader, or nil, message, errno's name; "EINVAL": neither a regular file nor /dev/null, which would make us
 * wait; "ELOOP": it is a link, and no_link was said */
static int sys_reader(lua_State *L)
{
	const char *path = lua_util_path(L, 1);
	int link = lua_toboolean(L, 2) ? O_NOFOLLOW : 0;
	struct sbx_fd *f = lua_newuserdata(L, sizeof(*f));
	struct stat st;

	*f = SBX_FD_NONE;
	luaL_getmetatable(L, READER);
	lua_setmetatable(L, -2);
	if (sbx_fd_take(f, open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | link)) < 0)
		return lua_util_fail(L, errno, path);
	if (fstat(f->number, &st) == 0 && (S_ISREG(st.st_mode) || (S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3))))
		return 1;
	sbx_fd_close(f);
	return lua_util_fail(L, EINVAL, path);
}

/* reader:read(n) -> up to n bytes; nil at the end; nil, message, errno's name */
static int reader_read(lua_State *L)
{
	struct sbx_fd *f = luaL_checkudata(L, 1, READER);
	char bytes[65536];
	size_t want = (size_t)lua_util_number(L, 2, 1, sizeof(bytes));
	ssize_t n;

	while ((n = read(sbx_fd_get(f), bytes, want)) < 0 && errno == EINTR)
		;
	if (n < 0)
		return lua_util_fail(L, errno, "read");
	if (n == 0)
		return 0;
	lua_pushlstring(L, bytes, (size_t)n);
	return 1;
}

static int reader_close(lua_State *L)
{
	sbx_fd_close(luaL_checkudata(L, 1, READER));
	return 0;
}

static const luaL_Reg reader_methods[] = {
	{ "read", reader_read }, { "close", reader_close }, { "__gc", reader_close }, { "__close", reader_close }, { NULL, NULL },
};

static int sys_rename(lua_State *L)
{
	const char *from = lua_util_path(L, 1), *to = lua_util_path(L, 2);

	return result(L, rename(from, to), from);
}

static int sys_unlink(lua_State *L)
{
	const char *path = lua_util_path(L, 1);

	return result(L, unlink(path), path);
}

static int sys_rmdir(lua_State *L)
{
	const char *path = lua_util_path(L, 1);

	return result(L, rmdir(path), path);
}

static int sys_write_file(lua_State *L)
{
	size_t n;
	const char *path = lua_util_path(L, 1), *bytes = luaL_checklstring(L, 2, &n);
	mode_t mode = (mode_t)lua_util_number(L, 3, 0, 07777);
	int fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC | O_NOFOLLOW, mode), err = 0;

	if (fd < 0)
		return lua_util_fail(L, errno, path);
	while (n && !err) {
		ssize_t w = write(fd, bytes, n);

		if (w < 0 && errno != EINTR)
			err = errno;
		if (w > 0) {
			bytes += w;
			n -= (size_t)w;
		}
	}
	close(fd);
	if (err)
		return lua_util_fail(L, err, path);
	lua_pushboolean(L, 1);
	return 1;
}

static int sys_now(lua_State *L)
{
	lua_pushnumber(L, sbx_time_now());
	return 1;
}

static int sys_random_hex(lua_State *L)
{
	static const char digits[] = "0123456789abcdef";
	unsigned char bytes[64];
	char text[128];
	size_t n = (size_t)lua_util_number(L, 1, 1, 64);

	if (getrandom(bytes, n, 0) != (ssize_t)n)
		return lua_util_fail(L, errno, "getrandom");
	for (size_t i = 0; i < n; i++) {
		text[2 * i] = digits[bytes[i] >> 4];
		text[2 * i + 1] = digits[bytes[i] & 15];
	}
	lua_pushlstring(L, text, 2 * n);
	return 1;
}

static int sys_getpid(lua_State *L)
{
	lua_pushinteger(L, getpid());
	return 1;
}

static int sys_getuid(lua_State *L)
{
	lua_pushnumber(L, geteuid());
	return 1;
}

/* core.privileges() -> effective capabilities in hexadecimal, as /proc has them; whether no_new_privs is set; whether there is a seccomp filter.
 * /proc/self/status would be all that and more, and is made anew at each read. */
static int sys_privileges(lua_State *L)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { { 0, 0, 0 }, { 0, 0, 0 } };
	char text[17];

	(void)syscall(SYS_capget, &head, data);
	(void)snprintf(text, sizeof(text), "%08x%08x", data[1].effective, data[0].effective);
	lua_pushstring(L, text);
	lua_pushboolean(L, prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1);
	lua_pushboolean(L, prctl(PR_GET_SECCOMP) == 2);
	return 3;
}

static int sys_getenv_secure(lua_State *L)
{
	lua_pushstring(L, secure_getenv(lua_util_path(L, 1)));
	return 1;
}

static short events_of(const char *s)
{
	return (short)((strchr(s, 'r') ? POLLIN : 0) | (strchr(s, 'w') ? POLLOUT : 0));
}

static void push_events(lua_State *L, short revents)
{
	/* An error or a hang-up makes both ready: the next step will tell. */
	short bad = revents & (POLLERR | POLLHUP | POLLNVAL);
	char text[3] = "";
	size_t n = 0;

	if (revents & POLLIN || bad)
		text[n++] = 'r';
	if (revents & POLLOUT || bad)
		text[n++] = 'w';
	lua_pushlstring(L, text, n);
}

/* A signal ends it early, as if the time were over: an interpreter that was told to stop (^C) must get to run. */
static int do_poll(struct pollfd *p, nfds_t n, double seconds)
{
	double ms = seconds < 0 ? -1 : ceil(seconds * 1000);
	int rc = poll(p, n, ms > 1e9 ? 1000000000 : (int)ms);

	return rc < 0 && errno == EINTR ? 0 : rc;
}

static double opt_seconds(lua_State *L, int arg)
{
	if (lua_isnoneornil(L, arg))
		return -1;
	double d = luaL_checknumber(L, arg);

	return d != d || d < 0 ? 0 : d;
}

/* core.poll(fd or -1, events, seconds or nil) -> true or false */
static int sys_poll(lua_State *L)
{
	struct pollfd p = { .fd = (int)lua_util_number(L, 1, -1, INT_MAX), .events = events_of(luaL_checkstring(L, 2)) };
	int rc = do_poll(&p, 1, opt_seconds(L, 3));

	lua_pushboolean(L, rc > 0);
	return 1;
}

/* core.pollv({fd, events, fd, events, ...}, seconds or nil) -> the list with its events replaced by those that are ready */
static int sys_pollv(lua_State *L)
{
	luaL_checktype(L, 1, LUA_TTABLE);
	size_t n = lua_rawlen(L, 1) / 2;
	double seconds = opt_seconds(L, 2);
	struct pollfd *p = lua_newuserdata(L, (n ? n : 1) * sizeof(*p));

	for (size_t i = 0; i < n; i++) {
		lua_rawgeti(L, 1, (int)(2 * i + 1));
		lua_rawgeti(L, 1, (int)(2 * i + 2));
		p[i] = (struct pollfd){ .fd = (int)lua_util_number(L, -2, 0, INT_MAX), .events = events_of(luaL_checkstring(L, -1)) };
		lua_pop(L, 2);
	}
	if (do_poll(p, n, seconds) < 0)
		return lua_util_fail(L, errno, "poll");
	lua_createtable(L, (int)(2 * n), 0);
	for (size_t i = 0; i < n; i++) {
		lua_pushinteger(L, p[i].fd);
		lua_rawseti(L, -2, (int)(2 * i + 1));
		push_events(L, p[i].revents);
		lua_rawseti(L, -2, (int)(2 * i + 2));
	}
	return 1;
}

/* core.capabilities() -> the names that libcap knows, in the order of the kernel's numbers from 0 on */
static int sys_capabilities(lua_State *L)
{
	char upper[64];

	lua_newtable(L);
	for (cap_value_t cap = 0;; cap++) {
		char *name = cap_to_name(cap);	/* of one without a name, its number */
		size_t n = name && name[0] > '9' ? strlen(name) : 0;

		for (size_t i = 0; i < n && i < sizeof(upper) - 1; i++)
			upper[i] = (char)(name[i] >= 'a' && name[i] <= 'z' ? name[i] - 'a' + 'A' : name[i]);
		(void)cap_free(name);
		if (!n || n >= sizeof(upper))
			return 1;
		lua_pushlstring(L, upper, n);
		lua_rawseti(L, -2, cap + 1);
	}
}

static const luaL_Reg functions[] = {
	{ "stat", sys_stat }, { "lstat", sys_lstat }, { "kind", sys_kind }, { "stamp", sys_stamp }, { "realpath", sys_realpath }, { "mkdir", sys_mkdir },
	{ "access_x", sys_access_x }, { "readdir", sys_readdir }, { "reader", sys_reader }, { "rename", sys_rename }, { "unlink", sys_unlink },
	{ "rmdir", sys_rmdir }, { "write_file", sys_write_file }, { "now", sys_now }, { "random_hex", sys_random_hex },
	{ "getpid", sys_getpid }, { "getuid", sys_getuid }, { "privileges", sys_privileges }, { "getenv_secure", sys_getenv_secure },
	{ "poll", sys_poll }, { "pollv", sys_pollv }, { "capabilities", sys_capabilities }, { NULL, NULL },
};

void lua_sys_register(lua_State *L)
{
	luaL_newmetatable(L, BYTES);
	lua_pushcfunction(L, bytes_gc);
	lua_setfield(L, -2, "__gc");
	lua_pop(L, 1);
	lua_util_class(L, READER, reader_methods);
	sbx_compat_setfuncs(L, functions);
}
