-- SPDX-License-Identifier: MIT
--- What rootfs = "host" is made of on this machine.
-- @module sandbox.run.host_layout
local etc = require "sandbox.machine.etc"

local M = {}

-- All of /etc is shown but what is private (sandbox.machine.etc), by an overlay. Where the kernel gives none, this much of it: what
-- a program needs to start. Copied, and only where the whole world may read it.
local etc_files = { "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/nsswitch.conf", "/etc/localtime", "/etc/timezone",
                    "/etc/mime.types", "/etc/os-release", "/etc/protocols", "/etc/services", "/etc/locale.alias" }
local network_files = { "/etc/hosts", "/etc/resolv.conf", "/etc/host.conf", "/etc/gai.conf" }
local shown_with_network = { ["/etc/hosts"] = true, ["/etc/resolv.conf"] = true }
local etc_directories = { "/etc/alternatives", "/etc/ld.so.conf.d", "/etc/ssl/certs", "/etc/ca-certificates", "/etc/pki/tls/certs",
                          "/etc/pki/ca-trust", "/etc/crypto-policies" }
-- Language runtimes that keep a part of themselves in /etc.
local etc_patterns = { "^python%d", "^java", "^lua%d", "^perl$", "^node", "^ruby" }
-- And parts that are kept, made or cached elsewhere by installation.
local parts = { "/var/lib/ghc", "/var/lib/texmf", "/var/lib/tex-common", "/var/lib/ghostscript", "/var/lib/aspell", "/var/lib/gems",
                "/var/lib/mecab", "/var/lib/xml-core", "/var/lib/sgml-base", "/var/lib/dictionaries-common", "/var/lib/python",
                "/var/cache/fontconfig", "/var/cache/dictionaries-common" }
local top = { "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32" }

local function world_readable(st)
  return st and st.mode % 8 >= 4
end

local function open_directory(st)
  return st and st.type == "directory" and st.mode % 8 >= 5
end

-- The names in /etc that fit, and those that are private, remembered for a moment: to look through all of it takes longer than the
-- rest of a request. What may be done with each is asked every time.
local FRESH = 1
local etc_names_cache = {}
local function etc_names(core)
  local now = core.now and core.now()
  if now and etc_names_cache.core == core and now - etc_names_cache.at < FRESH then return etc_names_cache.names, etc_names_cache.hidden end
  local names, hidden = {}, etc.hidden(core)
  for _, name in ipairs(core.readdir("/etc") or {}) do
    for _, pattern in ipairs(etc_patterns) do
      if name:find(pattern) then
        names[#names + 1] = name
        break
      end
    end
  end
  table.sort(names)
  if now then etc_names_cache = { core = core, at = now, names = names, hidden = hidden } end
  return names, hidden
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
  local names, hidden = etc_names(core)
  for _, name in ipairs(names) do
    if open_directory(core.lstat("/etc/" .. name)) then out.bind[#out.bind + 1] = "/etc/" .. name end
  end
  for _, path in ipairs(hidden) do
    -- The host's own network comes with its names.
    if network ~= "host" or not shown_with_network["/etc/" .. path] then out.etc_hide[#out.etc_hide + 1] = path end
  end
end

--- What rootfs = "host" is made of on this machine.
-- @tparam table core
-- @string network "host" adds what names need
-- @treturn table of the lists bind, symlink, etc, etc_hide
function M.of(core, network)
  local out = { bind = { "/usr" }, symlink = {}, etc = {}, etc_hide = {} }
  for _, path in ipairs(top) do
    local st = core.lstat(path)
    local real = st and st.type == "link" and core.realpath(path)
    if real and real:sub(1, 5) == "/usr/" then
      out.symlink[#out.symlink + 1] = path .. " " .. real:sub(2)
    elseif st and (st.type == "directory" or real) then
      out.bind[#out.bind + 1] = path
    end
  end
  for _, path in ipairs(parts) do
    if open_directory(core.lstat(path)) then out.bind[#out.bind + 1] = path end
  end
  if open_directory(core.stat("/nix/store")) then out.bind[#out.bind + 1] = "/nix/store" end
  add_etc(core, out, network)
  return out
end

return M
