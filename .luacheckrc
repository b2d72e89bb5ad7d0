-- SPDX-License-Identifier: MIT
-- `min` is what Lua 5.1, 5.4 and LuaJIT have in common.
std = "min"
max_line_length = 170
max_comment_line_length = 200
-- Where it exists, asked for by name.
read_globals = { math = { fields = { "tointeger" } } }
-- `not (a >= b)` is how NaN is refused.
ignore = { "581" }
files["lua/sandbox/options/schema.lua"] = { max_line_length = false }
files["lua/sandbox/hosts"] = { read_globals = { "ngx", "vim" } }
files["lua/sandbox/hosts/wait.lua"] = { read_globals = { "ngx", "vim" } }
files["lua/sandbox/json.lua"] = { read_globals = { "vim" } }
files["spec"] = { std = "+busted", max_line_length = 210, read_globals = { "ngx", "vim" } }
files["examples/openresty"] = { globals = { "ngx" } }
files["examples/terminal"] = { globals = { "ngx" } }
files["bench/nginx_probe.lua"] = { globals = { "ngx" } }
files["examples/nvim"] = { globals = { "vim" } }
exclude_files = { "types" }
