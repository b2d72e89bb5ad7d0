/* SPDX-License-Identifier: MIT
 *
 * lua_core: the module sandbox.core. Loading it takes no descriptor and starts nothing: nginx loads modules in its master.
 */
#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lua_util.h"

#ifndef SBX_LIBEXEC
#define SBX_LIBEXEC "/usr/libexec/sandbox"
#endif
#define SUPERVISOR "sandbox-supervisor"

__attribute__((visibility("default"))) int luaopen_sandbox_core(lua_State *L);

static int executable(const char *path)
{
	return access(path, X_OK) == 0;
}

/* The supervisor beside a file, or in the build tree above it. */
static int beside(const char *file, char *out, size_t size)
{
	const char *slash = strrchr(file, '/');
	int n = slash ? (int)(slash - file) : 1;

	(void)snprintf(out, size, "%.*s/" SUPERVISOR, n, slash ? file : ".");
	if (executable(out))
		return 1;
	(void)snprintf(out, size, "%.*s/../../" SUPERVISOR, n, slash ? file : ".");
	return executable(out);
}

static int find_supervisor(char out[PATH_MAX + 64])
{
	char found[PATH_MAX + 64], real[PATH_MAX];
	Dl_info info;
	const char *given = secure_getenv("SANDBOX_SUPERVISOR");

	(void)snprintf(found, sizeof(found), "%s", given && *given ? given : SBX_LIBEXEC "/" SUPERVISOR);
	if (!given && dladdr((void *)luaopen_sandbox_core, &info) && info.dli_fname &&
	    !beside(info.dli_fname, found, sizeof(found)) &&
	    !(realpath(info.dli_fname, real) && beside(real, found, sizeof(found))))
		(void)snprintf(found, sizeof(found), "%s", SBX_LIBEXEC "/" SUPERVISOR);
	if (!executable(found) || !realpath(found, real))
		return 0;
	(void)snprintf(out, PATH_MAX + 64, "%s", real);
	return 1;
}

static int core_supervisor(lua_State *L)
{
	char path[PATH_MAX + 64];

	if (!find_supervisor(path))
		return lua_util_fail_text(L, "sandbox-supervisor is not beside core.so nor in " SBX_LIBEXEC
					     ": install the module whole, or set SANDBOX_SUPERVISOR");
	lua_pushstring(L, path);
	return 1;
}

int luaopen_sandbox_core(lua_State *L)
{
	lua_newtable(L);
	lua_conn_register(L);
	lua_spawn_register(L);
	lua_sys_register(L);
	lua_console_register(L);
	lua_file_register(L);
	lua_epoll_register(L);
	lua_resumer_register(L);
	lua_signal_register(L);
	lua_pushcfunction(L, core_supervisor);
	lua_setfield(L, -2, "supervisor");
	lua_pushliteral(L, "0.1.0");
	lua_setfield(L, -2, "VERSION");
	return 1;
}
