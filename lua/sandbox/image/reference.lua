-- SPDX-License-Identifier: MIT
--- What an image is called: where it comes from, in skopeo's words (containers-transports(5)), of which four kinds are taken. By whitelist:
-- the words go to other programs.
-- @module sandbox.image.reference
local text = require "sandbox.text"

local M = {}

--- What is expected, for messages.
M.FORMS = 'an image: "docker://NAME[:TAG]", "oci:DIR[:TAG]", "oci-archive:FILE" or "docker-archive:FILE", with absolute paths'

local MAX = 1000 -- bytes

local function path_of(path)
  if path:sub(1, 1) ~= "/" or path:find "%c" then return nil end
  local clean = text.clean_path(path)
  return clean and clean ~= "/" and clean or nil
end

local function is_tag(tag) return #tag <= 128 and tag:find "^[%w_][%w._-]*$" ~= nil end

-- HOST[:PORT]/PATH[:TAG][@sha256:HEX], as the distribution specification has it; skopeo looks again.
local function docker(name)
  local rest, digest = name:match "^([^@]*)@(.*)$"
  if digest and not digest:find("^sha256:" .. ("%x"):rep(64) .. "$") then return nil end
  rest = rest or name
  if not rest:find "^[%w][%w._:/-]*$" or rest:find("..", 1, true) or rest:find("//", 1, true) or rest:find "[/:]$" then return nil end
  local tag = rest:match ":([^/:]*)$"
  if tag and not is_tag(tag) then return nil end
  return name
end

local kinds = {
  docker = function(rest)
    local name = rest:match "^//(.*)$"
    name = name and docker(name)
    return name and { source = name }
  end,
  oci = function(rest)
    local dir, tag = rest:match "^(.*):([^/:]+)$"
    if dir and not is_tag(tag) then return nil end
    dir = path_of(dir or rest)
    return dir and { source = dir, tag = tag, file = dir .. "/index.json" }
  end,
}
kinds["oci-archive"] = function(rest)
  local file = path_of(rest)
  return file and { source = file, file = file }
end
kinds["docker-archive"] = kinds["oci-archive"]

--- Takes a name apart.
-- @string name
-- @treturn table { text=, kind = skopeo's transport, source = a name or a path, tag=, file = what changes with a source of this host };
-- nil where it is none
function M.parse(name)
  if type(name) ~= "string" or #name > MAX or name:find "%z" or not text.is_utf8(name) then return nil end
  local kind, rest = name:match "^(%l[%l-]*):(.+)$"
  local ref = kind and kinds[kind] and kinds[kind](rest)
  if not ref then return nil end
  ref.text, ref.kind = name, kind
  return ref
end

-- Two sums in which no digit of a double is lost: a record that is another's by chance says so itself, and is not believed.
local function sum(bytes, factor, modulus)
  local h = 7
  for i = 1, #bytes do h = (h * factor + bytes:byte(i)) % modulus end
  return ("%.0f"):format(h)
end

--- The name of the file in which it is kept what a name stands for.
-- @string name
-- @treturn string
function M.record(name) return ("r%s-%s-%d"):format(sum(name, 131, 4294967291), sum(name, 257, 4294967279), #name) end

return M
