-- SPDX-License-Identifier: MIT
rockspec_format = "3.0"
package = "sandbox-gvisor"
version = "scm-1"
source = { url = "file://." }
description = {
  summary = "Run untrusted programs in gVisor sandboxes, with limits, from Lua",
  detailed = [[
    sandbox.run{ "python3", "-c", code, limits = { timeout = 2, memory = "128M" } } runs a program in a gVisor (runsc)
    sandbox and returns a table that says what became of it. Needs Linux, runsc, and the static libraries of json-c and libcap to build.
    The rock is called sandbox-gvisor because LuaRocks has an unrelated rock named sandbox.]],
  license = "MIT",
  maintainer = "the founders of sandbox",
  labels = { "sandbox", "gvisor", "security", "process" },
}
supported_platforms = { "linux" }
dependencies = { "lua >= 5.1, < 5.5", "lua-cjson" }
build = {
  type = "make",
  build_target = "all",
  install_target = "install",
  build_variables = {
    CC = "$(CC)", CFLAGS = "$(CFLAGS)", LIBFLAG = "$(LIBFLAG)", LUA_INCDIR = "$(LUA_INCDIR)", LIBDIR = "$(LIBDIR)",
  },
  install_variables = {
    LUA_INCDIR = "$(LUA_INCDIR)", LUADIR = "$(LUADIR)", LIBDIR = "$(LIBDIR)", BINDIR = "$(BINDIR)",
  },
}
