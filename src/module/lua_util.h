/* SPDX-License-Identifier: MIT
 *
 * lua_util: what the files of the module share. Nothing here owns a resource across a call that may raise.
 */
#ifndef LUA_UTIL_H
#define LUA_UTIL_H

#include "compat.h"

/* Pushes nil, "op: words of errno", "ENAME"; returns 3. */
int lua_util_fail(lua_State *L, int err, const char *op);
/* nil, message, "system". */
int lua_util_fail_text(lua_State *L, const char *message);
/* A string argument without NUL. */
const char *lua_util_path(lua_State *L, int arg);
/* A finite number within [min, max]. */
double lua_util_number(lua_State *L, int arg, double min, double max);

/* Makes a class of userdata: its own __index, its metatable locked. */
void lua_util_class(lua_State *L, const char *name, const luaL_Reg *methods);

/* Registers their functions in the table on top of the stack. */
void lua_conn_register(lua_State *L);
void lua_spawn_register(lua_State *L);
void lua_sys_register(lua_State *L);
void lua_console_register(lua_State *L);
void lua_file_register(lua_State *L);
void lua_epoll_register(lua_State *L);
void lua_resumer_register(lua_State *L);
void lua_signal_register(lua_State *L);

#endif
