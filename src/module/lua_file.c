/* SPDX-License-Identifier: MIT
 *
 * lua_file: files by descriptor, where a path would be looked at in one moment and opened in another: what is given to a guest
 * (open once, ask that descriptor), and what a guest has left and goes below a directory of the host's (no link is followed). And an
 * image that is to stay from its look-up to its use.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lua_util.h"

#define FILE_CLASS "sandbox.file"
#define BELOW_CLASS "sandbox.below"
#define READ_MAX (1024 * 1024)

struct file {
	int fd;
};

static struct file *new_file(lua_State *L, const char *class)
{
	struct file *f = lua_newuserdata(L, sizeof(*f));

	f->fd = -1;
	luaL_getmetatable(L, class);
	lua_setmetatable(L, -2);
	return f;
}

static int fail_at(lua_State *L, const char *path, const char *why)
{
	lua_pushnil(L);
	lua_pushfstring(L, "%s: %s", path, why);
	lua_pushliteral(L, "system");
	return 3;
}

/* core.open_file(path) -> file, size, dev, ino; or nil, message, code. Regular files only; never waits for a FIFO's other end. */
static int open_file(lua_State *L)
{
	const char *path = lua_util_path(L, 1);
	struct file *f = new_file(L, FILE_CLASS);
	struct stat st;

	f->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (f->fd < 0 || fstat(f->fd, &st) < 0)
		return lua_util_fail(L, errno, path);
	if (!S_ISREG(st.st_mode))
		return fail_at(L, path, "it is no regular file");
	lua_pushnumber(L, (double)st.st_size);
	lua_pushnumber(L, (double)st.st_dev);
	lua_pushnumber(L, (double)st.st_ino);
	return 4;
}

/* file:read(n) -> bytes, fewer only at the end; nil at the end; or nil, message, code. */
static int file_read(lua_State *L)
{
	struct file *f = luaL_checkudata(L, 1, FILE_CLASS);
	size_t want = (size_t)lua_util_number(L, 2, 1, READ_MAX), got = 0;
	char *buf = lua_newuserdata(L, want);

	while (got < want) {
		ssize_t n = read(f->fd, buf + got, want - got);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return lua_util_fail(L, errno, "read");
		if (n == 0)
			break;
		got += (size_t)n;
	}
	if (!got)
		lua_pushnil(L);
	else
		lua_pushlstring(L, buf, got);
	return 1;
}

/* file:write(bytes) -> true, or nil, message, code. */
static int file_write(lua_State *L)
{
	struct file *f = luaL_checkudata(L, 1, FILE_CLASS);
	size_t n;
	const char *bytes = luaL_checklstring(L, 2, &n);

	while (n) {
		ssize_t w = write(f->fd, bytes, n);

		if (w < 0 && errno == EINTR)
			continue;
		if (w <= 0)
			return lua_util_fail(L, errno, "write");
		bytes += w;
		n -= (size_t)w;
	}
	lua_pushboolean(L, 1);
	return 1;
}

static int close_fd(struct file *f)
{
	int rc = f->fd < 0 ? 0 : close(f->fd);

	f->fd = -1;
	return rc;
}

/* file:close() -> true, or nil, message, code: what could not be written may be told only now. */
static int file_close(lua_State *L)
{
	if (close_fd(luaL_checkudata(L, 1, FILE_CLASS)) < 0)
		return lua_util_fail(L, errno, "close");
	lua_pushboolean(L, 1);
	return 1;
}

/* core.open_below(directory) -> below, or nil, message, code. */
static int open_below(lua_State *L)
{
	const char *path = lua_util_path(L, 1);
	struct file *f = new_file(L, BELOW_CLASS);

	f->fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return f->fd < 0 ? lua_util_fail(L, errno, path) : 1;
}

/* The directory that a path lies in, made where it is missing; a link on the way is ENOTDIR. *name: the path's last part. */
static int open_parent(int root, const char *path, const char **name)
{
	char part[NAME_MAX + 1];
	int dir = fcntl(root, F_DUPFD_CLOEXEC, 0);

	for (const char *slash; dir >= 0; path = slash + 1) {
		slash = strchr(path, '/');
		size_t n = slash ? (size_t)(slash - path) : strlen(path);

		if (n == 0 || n > NAME_MAX || (n <= 2 && !strncmp(path, "..", n))) {
			(void)close(dir);
			errno = EINVAL;
			return -1;
		}
		if (!slash)
			break;
		memcpy(part, path, n);
		part[n] = '\0';
		(void)mkdirat(dir, part, 0755);
		int sub = openat(dir, part, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), saved = errno;

		(void)close(dir);
		errno = saved;
		dir = sub;
	}
	*name = path;
	return dir;
}

/* below:create(path[, mode = 0644]) -> file, or nil, message, code. A regular file that is there is another's after this, and stays as it was. */
static int below_create(lua_State *L)
{
	struct file *root = luaL_checkudata(L, 1, BELOW_CLASS);
	const char *path = lua_util_path(L, 2), *name;
	mode_t mode = lua_isnoneornil(L, 3) ? 0644 : (mode_t)lua_util_number(L, 3, 0, 0777);
	struct file *f = new_file(L, FILE_CLASS);
	struct stat st;
	int dir = open_parent(root->fd, path, &name);

	if (dir < 0)
		return lua_util_fail(L, errno, path);
	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode))
		(void)unlinkat(dir, name, 0);
	f->fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
	int saved = errno;

	(void)close(dir);
	return f->fd < 0 ? lua_util_fail(L, saved, path) : 1;
}

/* below:remove(path): a file that was begun and not ended. */
static int below_remove(lua_State *L)
{
	struct file *root = luaL_checkudata(L, 1, BELOW_CLASS);
	const char *name;
	int dir = open_parent(root->fd, lua_util_path(L, 2), &name);

	if (dir >= 0) {
		(void)unlinkat(dir, name, 0);
		(void)close(dir);
	}
	return 0;
}

/*
 * core.hold(directory) -> file, which is closed to let go of it; nil where it is gone, or going. Who removes it takes an exclusive lock first
 * (src/image/img_store.h). Never waits.
 */
static int hold(lua_State *L)
{
	const char *path = lua_util_path(L, 1);
	struct file *f = new_file(L, FILE_CLASS);
	struct stat mine, there;

	f->fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (f->fd < 0 || flock(f->fd, LOCK_SH | LOCK_NB) < 0 || fstat(f->fd, &mine) < 0 || lstat(path, &there) < 0 || mine.st_ino != there.st_ino ||
	    mine.st_dev != there.st_dev) {
		(void)close_fd(f);
		lua_pushnil(L);
	}
	return 1;
}

static int below_close(lua_State *L)
{
	(void)close_fd(luaL_checkudata(L, 1, BELOW_CLASS));
	return 0;
}

static const luaL_Reg file_methods[] = {
	{ "read", file_read }, { "write", file_write }, { "close", file_close }, { "__gc", file_close }, { NULL, NULL },
};

static const luaL_Reg below_methods[] = {
	{ "create", below_create }, { "remove", below_remove }, { "close", below_close }, { "__gc", below_close }, { NULL, NULL },
};

static const luaL_Reg functions[] = {
	{ "open_file", open_file }, { "open_below", open_below }, { "hold", hold }, { NULL, NULL },
};

void lua_file_register(lua_State *L)
{
	lua_util_class(L, FILE_CLASS, file_methods);
	lua_util_class(L, BELOW_CLASS, below_methods);
	sbx_compat_setfuncs(L, functions);
}
