/* SPDX-License-Identifier: MIT
 *
 * lua_resumer: who goes on with the running coroutine. A loop of callbacks (libuv's) knows no coroutines: whether one may be
 * yielded to it, or is a generator whose consumer waits for its values, is seen from how it was resumed.
 */
#include "lua_util.h"

#define MAIN "sandbox.main"

/* The main coroutine of this Lua, or NULL where 5.1 has not shown it. */
static lua_State *main_of(lua_State *L)
{
#ifdef LUA_RIDX_MAINTHREAD
	lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_MAINTHREAD);
#else
	lua_getfield(L, LUA_REGISTRYINDEX, MAIN);
#endif
	lua_State *main = lua_tothread(L, -1);

	lua_pop(L, 1);
	return main;
}

/*
 * The coroutine that a C function on top of a coroutine's stack goes on with: coroutine.resume has it as its argument, a function
 * of coroutine.wrap as an upvalue. NULL: neither. *wrapped says which.
 */
static lua_State *resumed_by(lua_State *at, lua_Debug *ar, int *wrapped)
{
	lua_State *next = NULL;

	*wrapped = 0;
	if (!lua_checkstack(at, 4) || !lua_getstack(at, 0, ar))
		return NULL;
	(void)lua_getinfo(at, "nSf", ar);
	if (lua_iscfunction(at, -1) && lua_getupvalue(at, -1, 1)) {
		next = lua_tothread(at, -1);
		*wrapped = next != NULL;
		lua_pop(at, 1);
	}
	lua_pop(at, 1);
	if (!next && *ar->what == 'C' && lua_getlocal(at, ar, 1)) {
		next = lua_tothread(at, -1);
		lua_pop(at, 1);
	}
	return next;
}

/*
 * core.resumer() -> how the running coroutine was gone on with, and the source of the code that did it: "resume"; "call", a
 * function of coroutine.wrap that was called where it was made, so that nobody can call it again; "generator", one that
 * somebody keeps. Nothing where that cannot be seen.
 */
static int core_resumer(lua_State *L)
{
	lua_State *at = main_of(L), *next = at;
	lua_Debug ar, caller;
	int wrapped = 0;

	for (int depth = 0; next && next != L && depth < 200; depth++) {
		at = next;
		next = resumed_by(at, &ar, &wrapped);
	}
	if (next != L || at == L)
		return 0;
	int lua = lua_getstack(at, 1, &caller) && lua_getinfo(at, "S", &caller) && *caller.what != 'C';

	lua_pushstring(L, !wrapped ? "resume" : lua && !ar.name ? "call" : "generator");
	lua_pushstring(L, lua ? caller.source : "");
	return 2;
}

/* LuaJIT has it, and 5.3 and later; one module serves 5.1 and LuaJIT. */
extern int lua_isyieldable(lua_State *L) __attribute__((weak));

/* core.isyieldable() -> whether the caller can yield; nothing where Lua does not tell. (nginx hides LuaJIT's own.) */
static int core_isyieldable(lua_State *L)
{
	if (!lua_isyieldable)
		return 0;
	lua_pushboolean(L, lua_isyieldable(L));
	return 1;
}

void lua_resumer_register(lua_State *L)
{
#ifndef LUA_RIDX_MAINTHREAD
	if (lua_pushthread(L))
		lua_setfield(L, LUA_REGISTRYINDEX, MAIN);
	else
		lua_pop(L, 1);
#endif
	lua_pushcfunction(L, core_isyieldable);
	lua_setfield(L, -2, "isyieldable");
	lua_pushcfunction(L, core_resumer);
	lua_setfield(L, -2, "resumer");
}
