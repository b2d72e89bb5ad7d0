-- SPDX-License-Identifier: MIT
--- What rootfs = "host" is made of on this machine.
-- @module sandbox.run.host_layout
local etc = require "sandbox.machine.etc"
local kept = require "sandbox.machine.kept"

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

-- What is asked of the host, and which paths that were.
local Look = {}
Look.__index = Look

function Look:kind(path, own)
  self[#self + 1] = path
  local kind, mode = self.core.kind(path, own)
  return kind, mode or 0
end

function Look:is_readable(path)
  local kind, mode = self:kind(path)
  return kind == "file" and mode % 8 >= 4
end

-- `own`: a link to one is none.
function Look:is_open(path, own)
  local kind, mode = self:kind(path, own)
  return kind == "directory" and mode % 8 >= 5
end

-- The names in /etc that fit, and those that are private.
local function find_etc(look)
  local names, hidden, still = {}, etc.hidden(look.core), {}
  look[#look + 1] = "/etc"
  for _, name in ipairs(look.core.readdir("/etc") or {}) do
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
  return names, hidden, still
end

local function add_etc(look, out, network)
  for _, path in ipairs(etc_files) do
    if look:is_readable(path) then out.etc[#out.etc + 1] = path end
  end
  for _, path in ipairs(network == "host" and network_files or {}) do
    if look:is_readable(path) then out.etc[#out.etc + 1] = path end
  end
  for _, path in ipairs(etc_directories) do
    if look:is_open(path) then out.bind[#out.bind + 1] = path end
  end
  local names, hidden, hidden_with_network = find_etc(look)
  for _, name in ipairs(names) do
    if look:is_open("/etc/" .. name, true) then out.bind[#out.bind + 1] = "/etc/" .. name end
  end
  out.etc_hide = network == "host" and hidden_with_network or hidden
end

-- Directories of the root, and links into /usr.
local function add_top(look, out)
  look[#look + 1] = "/" -- what they are; that one leads below /usr stays so
  for _, path in ipairs(top) do
    local kind = look.core.kind(path, true)
    local real = kind == "link" and look.core.realpath(path)
    if real and real:sub(1, 5) == "/usr/" then
      out.symlink[#out.symlink + 1] = path .. " " .. real:sub(2)
    elseif kind == "directory" or real then
      out.bind[#out.bind + 1] = path
    end
  end
end

local layouts = setmetatable({}, { __mode = "k" }) -- by core, for tests have others, and by network

--- What rootfs = "host" is made of on this machine.
-- @tparam table core
-- @string network "host" adds what names need
-- @treturn table of the lists bind, symlink, etc, etc_hide; to be read only: it is the same one as long as these are the same on the host
function M.of(core, network)
  layouts[core] = layouts[core] or {}
  local layout = kept.get(core, layouts[core], network == "host" and "host" or "none", function()
    local look, out = setmetatable({ core = core }, Look), { bind = { "/usr" }, symlink = {}, etc = {} }
    add_top(look, out)
    for _, path in ipairs(parts) do
      if look:is_open(path, true) then out.bind[#out.bind + 1] = path end
    end
    if look:is_open "/nix/store" then out.bind[#out.bind + 1] = "/nix/store" end
    add_etc(look, out, network)
    return out, look
  end)
  return layout
end

return M
