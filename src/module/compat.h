/* SPDX-License-Identifier: MIT
 *
 * compat: what Lua 5.1 (and so LuaJIT) lacks of the API that the module is written to. The one place that asks which Lua
 * it is.
 */
#ifndef SBX_COMPAT_H
#define SBX_COMPAT_H

#include <lauxlib.h>
#include <lua.h>

#if LUA_VERSION_NUM < 502
#define lua_rawlen lua_objlen
#ifndef luaL_newlibtable	/* plain 5.1: LuaJIT has these two */
static inline void sbx_compat_setfuncs(lua_State *L, const luaL_Reg *l)
{
	for (; l->name; l++) {
		lua_pushcfunction(L, l->func);
		lua_setfield(L, -2, l->name);
	}
}
#else
static inline void sbx_compat_setfuncs(lua_State *L, const luaL_Reg *l)
{
	luaL_setfuncs(L, l, 0);
}
#endif
#else
static inline void sbx_compat_setfuncs(lua_State *L, const luaL_Reg *l)
{
	luaL_setfuncs(L, l, 0);
}
#endif

#endif
