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

local function is_readable(core, path)
  local kind, mode = core.kind(path)
  return kind == "file" and mode % 8 >= 4
end

-- `own`: a link to one is none.
local function is_open(core, path, own)
  local kind, mode = core.kind(path, own)
  return kind == "directory" and mode % 8 >= 5
end

-- What find(core) makes of the names in a directory, remembered as long as that is the same. One that has just changed may do so again
-- within the same tick of the clock that its time is from.
local TICK = 2
local remembered = {}
local function look(core, dir, find)
  local st, known = core.stat(dir) or {}, remembered[dir]
  local settled = st.mtime and os.time() - st.mtime > TICK
  if settled and known and known.core == core and known.mtime == st.mtime and known.ino == st.ino and known.dev == st.dev then return known.value end
  local value = find(core)
  remembered[dir] = settled and { core = core, mtime = st.mtime, ino = st.ino, dev = st.dev, value = value } or nil
  return value
end

-- The names in /etc that fit, and those that are private: to look through all of it takes longer than the rest of a request. What may be
-- done with each is asked every time.
local function find_etc(core)
  local names, hidden, still = {}, etc.hidden(core), {}
  for _, name in ipairs(core.readdir("/etc") or {}) do
    for _, pattern in ipairs(etc_patterns) do
      if name:find(pattern) then
        names[#names + 1] = name
        break
      end
    end
  end
  table.sort(names)
  for _, name in ipairs(hidden) do -- the host's own network comes with its names
    if not shown_with_network["/etc/" .. name] then still[#still + 1] = name end
  end
  return { names = names, hidden = hidden, hidden_with_network = still }
end

local function add_etc(core, out, network)
  for _, path in ipairs(etc_files) do
    if is_readable(core, path) then out.etc[#out.etc + 1] = path end
  end
  for _, path in ipairs(network == "host" and network_files or {}) do
    if is_readable(core, path) then out.etc[#out.etc + 1] = path end
  end
  for _, path in ipairs(etc_directories) do
    if is_open(core, path) then out.bind[#out.bind + 1] = path end
  end
  local found = look(core, "/etc", find_etc)
  for _, name in ipairs(found.names) do
    if is_open(core, "/etc/" .. name, true) then out.bind[#out.bind + 1] = "/etc/" .. name end
  end
  out.etc_hide = network == "host" and found.hidden_with_network or found.hidden
end

-- Directories of the root, and links into /usr.
local function find_top(core)
  local found = { bind = {}, symlink = {} }
  for _, path in ipairs(top) do
    local kind = core.kind(path, true)
    local real = kind == "link" and core.realpath(path)
    if real and real:sub(1, 5) == "/usr/" then
      found.symlink[#found.symlink + 1] = path .. " " .. real:sub(2)
    elseif kind == "directory" or real then
      found.bind[#found.bind + 1] = path
    end
  end
  return found
end

--- What rootfs = "host" is made of on this machine.
-- @tparam table core
-- @string network "host" adds what names need
-- @treturn table of the lists bind, symlink, etc, etc_hide; to be read only, for some are the same each time
function M.of(core, network)
  local found = look(core, "/", find_top)
  local out = { bind = { "/usr" }, symlink = found.symlink, etc = {} }
  for _, path in ipairs(found.bind) do out.bind[#out.bind + 1] = path end
  for _, path in ipairs(parts) do
    if is_open(core, path, true) then out.bind[#out.bind + 1] = path end
  end
  if is_open(core, "/nix/store") then out.bind[#out.bind + 1] = "/nix/store" end
  add_etc(core, out, network)
  return out
end

return M
