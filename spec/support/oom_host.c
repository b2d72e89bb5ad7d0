/* SPDX-License-Identifier: MIT
 *
 * oom_host SCRIPT: a Lua host whose n-th allocation fails, for every n until the script gets through. After each try no
 * descriptor and no child may be left. Prints "N passed, N failed".
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

static long budget;

static void *limited(void *ud, void *p, size_t old, size_t size)
{
	(void)ud;
	if (size == 0) {
		free(p);
		return NULL;
	}
	if ((!p || size > old) && --budget < 0)	/* shrinking must not fail: Lua counts on it */
		return NULL;
	return realloc(p, size);
}

static int descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	while (d && readdir(d))
		n++;
	if (d)
		closedir(d);
	return n;
}

#if LUA_VERSION_NUM < 502
/* Not io: where an allocation fails in its setup, 5.1's own finalizer closes stdout. */
static void open_libraries(lua_State *L)
{
	static const luaL_Reg libraries[] = {
		{ "", luaopen_base }, { LUA_LOADLIBNAME, luaopen_package }, { LUA_TABLIBNAME, luaopen_table }, { LUA_STRLIBNAME, luaopen_string },
	};

	for (size_t i = 0; i < sizeof(libraries) / sizeof(libraries[0]); i++) {
		lua_pushcfunction(L, libraries[i].func);
		lua_pushstring(L, libraries[i].name);
		lua_call(L, 1, 0);
	}
}
#else
#define open_libraries luaL_openlibs
#endif

static int run(lua_State *L)
{
	const char *script = lua_touserdata(L, 1);

	open_libraries(L);
	if (luaL_loadfile(L, script) != 0)
		return lua_error(L);
	lua_call(L, 0, 0);
	return 0;
}

/* 0: the script went through, 1: want of memory, -1: another error. */
static int try_once(long n, char *script)
{
	budget = n;
	lua_State *L = lua_newstate(limited, NULL);

	if (!L)
		return 1;
#if LUA_VERSION_NUM < 502	/* there pushing a function takes memory */
	int rc = lua_cpcall(L, run, script);
#else
	lua_pushcfunction(L, run);
	lua_pushlightuserdata(L, script);
	int rc = lua_pcall(L, 1, 0, 0);
#endif

	budget = 1L << 40;	/* for the finalizers */
	if (rc != 0 && rc != LUA_ERRMEM) {
		const char *message = lua_tostring(L, -1);

		/* require, say, passes it on as an error of its own. */
		if (message && strstr(message, "not enough memory")) {
			rc = LUA_ERRMEM;
		} else {
			fprintf(stderr, "at allocation %ld: %s\n", n, message ? message : "?");
			rc = -1;
		}
	}
	lua_close(L);
	return rc == 0 ? 0 : rc < 0 ? -1 : 1;
}

int main(int argc, char **argv)
{
	int passed = 0, failed = 0, rc = 1, errors = 0;

	if (argc != 2)
		return 2;
	for (long n = 0; rc != 0 && n < 100000; n++) {
		int before = descriptors();

		rc = try_once(n, argv[1]);
		errors += rc < 0;
		if (descriptors() == before && waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD)
			passed++;
		else
			failed++;
		if (failed > 10 || errors > 50)
			break;
	}
	printf("%d passed, %d failed\n", passed, failed + (rc != 0));
	return failed != 0 || rc != 0;
}
