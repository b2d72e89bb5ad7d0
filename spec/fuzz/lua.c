/* SPDX-License-Identifier: MIT
 *
 * Lua under a fuzzer: FUZZ_SCRIPT gives a function of some bytes, which raises where something does not hold. Each line of Lua that
 * runs is a counter of libFuzzer's, so that it learns its way through Lua as it does through C.
 */
#include "fuzz.h"

#include <stdio.h>

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

#define COUNTERS 65536
/* Steps of 1000 instructions after which it has lost its way. */
#define STEPS 20000

__attribute__((section("__libfuzzer_extra_counters"))) static uint8_t counter[COUNTERS];

static lua_State *L;
static unsigned steps;

static void on_line(lua_State *l, lua_Debug *ar)
{
	unsigned at;

	if (ar->event == LUA_HOOKCOUNT) {
		if (++steps > STEPS)
			(void)luaL_error(l, "it takes too long");
		return;
	}
	(void)lua_getinfo(l, "S", ar);
	/* A script's text lies where it lay when it was loaded. */
	at = (unsigned)((uintptr_t)ar->source >> 4) * 2654435761u + (unsigned)ar->currentline * 40503u;
	if (counter[at % COUNTERS] < 255)
		counter[at % COUNTERS]++;
}

static void stop(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, lua_tostring(L, -1) ? lua_tostring(L, -1) : "?");
	abort();
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	L = luaL_newstate();
	MUST(L);
	luaL_openlibs(L);
	if (luaL_dofile(L, FUZZ_SCRIPT))
		stop("cannot load");
	lua_setglobal(L, "fuzz_one");
	lua_sethook(L, on_line, LUA_MASKLINE | LUA_MASKCOUNT, 1000);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	steps = 0;
	lua_getglobal(L, "fuzz_one");
	lua_pushlstring(L, (const char *)bytes, n);
	if (lua_pcall(L, 1, 0, 0))
		stop("raised");
	return 0;
}
