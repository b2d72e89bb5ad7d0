/* SPDX-License-Identifier: MIT */
#include "lua_util.h"

#include <errno.h>
#include <string.h>

#ifdef __GLIBC__
#define error_name strerrorname_np
#else
/* Other C libraries have no names of errors: those that somebody asks for (errno(3)). */
static const char *error_name(int err)
{
#define NAME(e) { e, #e }
	static const struct { int err; const char *name; } names[] = {
		NAME(EPERM), NAME(ENOENT), NAME(EINTR), NAME(EIO), NAME(EBADF), NAME(EAGAIN), NAME(ENOMEM), NAME(EACCES), NAME(EBUSY),
		NAME(EEXIST), NAME(ENOTDIR), NAME(EISDIR), NAME(EINVAL), NAME(ENFILE), NAME(EMFILE), NAME(EFBIG), NAME(ENOSPC), NAME(EROFS),
		NAME(EPIPE), NAME(ENAMETOOLONG), NAME(ENOSYS), NAME(ENOTEMPTY), NAME(ELOOP), NAME(ECONNRESET), NAME(ECONNREFUSED), NAME(ETIMEDOUT),
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (names[i].err == err)
			return names[i].name;
	return NULL;
}
#endif

int lua_util_fail(lua_State *L, int err, const char *op)
{
	const char *name = error_name(err);

	lua_pushnil(L);
	lua_pushfstring(L, "%s: %s", op, strerror(err));
	lua_pushstring(L, name ? name : "EUNKNOWN");
	return 3;
}

int lua_util_fail_text(lua_State *L, const char *message)
{
	lua_pushnil(L);
	lua_pushstring(L, message);
	lua_pushliteral(L, "system");
	return 3;
}

const char *lua_util_path(lua_State *L, int arg)
{
	size_t n;
	const char *s = luaL_checklstring(L, arg, &n);

	luaL_argcheck(L, strlen(s) == n, arg, "embedded NUL");
	return s;
}

double lua_util_number(lua_State *L, int arg, double min, double max)
{
	double d = luaL_checknumber(L, arg);

	luaL_argcheck(L, d >= min && d <= max, arg, "out of range");
	return d;
}

void lua_util_class(lua_State *L, const char *name, const luaL_Reg *methods)
{
	luaL_newmetatable(L, name);
	sbx_compat_setfuncs(L, methods);
	lua_pushvalue(L, -1);
	lua_setfield(L, -2, "__index");
	lua_pushliteral(L, "locked");
	lua_setfield(L, -2, "__metatable");
	lua_pop(L, 1);
}
