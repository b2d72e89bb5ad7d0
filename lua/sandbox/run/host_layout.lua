-- SPDX-License-Identifier: MIT
--- What rootfs = "host" is made of on this machine.
-- @module sandbox.run.host_layout
local M = {}

-- What of /etc a program needs to start. Copied, and only where the whole world may read it.
local etc_files = { "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/passwd", "/etc/group", "/etc/nsswitch.conf", "/etc/localtime",
                    "/etc/timezone", "/etc/mime.types", "/etc/os-release", "/etc/protocols", "/etc/services", "/etc/locale.alias" }
local network_files = { "/etc/hosts", "/etc/resolv.conf", "/etc/host.conf", "/etc/gai.conf" }
local etc_directories = { "/etc/alternatives", "/etc/ld.so.conf.d", "/etc/ssl/certs", "/etc/ca-certificates", "/etc/pki/tls/certs",
                          "/etc/pki/ca-trust", "/etc/crypto-policies" }
-- Language runtimes that keep a part of themselves in /etc.
local etc_patterns = { "^python%d", "^java", "^lua%d", "^perl$", "^node", "^ruby" }
local top = { "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32" }

local function world_readable(st)
  return st and st.mode % 8 >= 4
end

local function open_directory(st)
  return st and st.type == "directory" and st.mode % 8 >= 5
end

-- The names in /etc that fit, remembered for a moment: to look through all of it takes longer than the rest of a request.
-- What may be done with each is asked every time.
local FRESH = 1
local etc_names_cache = {}
local function etc_names(core)
  local now = core.now and core.now()
  if now and etc_names_cache.core == core and now - etc_names_cache.at < FRESH then return etc_names_cache.names end
  local names = {}
  for _, name in ipairs(core.readdir("/etc") or {}) do
    for _, pattern in ipairs(etc_patterns) do
      if name:find(pattern) then
        names[#names + 1] = name
        break
      end
    end
  end
  table.sort(names)
  if now then etc_names_cache = { core = core, at = now, names = names } end
  return names
end

local function add_etc(core, out, network)
  for _, path in ipairs(etc_files) do
    local st = core.stat(path)
    if st and st.type == "file" and world_readable(st) then out.etc[#out.etc + 1] = path end
  end
  for _, path in ipairs(network == "host" and network_files or {}) do
    local st = core.stat(path)
    if st and st.type == "file" and world_readable(st) then out.etc[#out.etc + 1] = path end
  end
  for _, path in ipairs(etc_directories) do
    if open_directory(core.stat(path)) then out.bind[#out.bind + 1] = path end
  end
  for _, name in ipairs(etc_names(core)) do
    if open_directory(core.lstat("/etc/" .. name)) then out.bind[#out.bind + 1] = "/etc/" .. name end
  end
end

--- What rootfs = "host" is made of on this machine.
-- @tparam table core
-- @string network "host" adds what names need
-- @treturn table of the lists bind, symlink, etc
function M.of(core, network)
  local out = { bind = { "/usr" }, symlink = {}, etc = {} }
  for _, path in ipairs(top) do
    local st = core.lstat(path)
    local real = st and st.type == "link" and core.realpath(path)
    if real and real:sub(1, 5) == "/usr/" then
      out.symlink[#out.symlink + 1] = path .. " " .. real:sub(2)
    elseif st and (st.type == "directory" or real) then
      out.bind[#out.bind + 1] = path
    end
  end
  if open_directory(core.stat("/nix/store")) then out.bind[#out.bind + 1] = "/nix/store" end
  add_etc(core, out, network)
  return out
end

return M
