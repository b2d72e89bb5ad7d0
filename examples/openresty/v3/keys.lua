-- SPDX-License-Identifier: MIT
-- Who asks, and how often he may: API keys, known by the digest of each.
local http = require "http"
local settings = require "settings"

local M = {}

local GUESSES = 20 -- wrong keys a second, of all clients together

local sha256 -- Debian's lua-nginx-string; OpenResty's name for it

local function load_sha256()
  for _, name in ipairs{ "resty.sha256", "nginx.sha256" } do
    local ok, found = pcall(require, name)
    if ok and type(found) == "table" and found.new then return found end
  end
  error("/api/v3 needs lua-resty-string: install Debian's package lua-nginx-string (OpenResty brings it)", 0)
end

--- The digest of a text, in hexadecimal digits.
function M.digest(text)
  sha256 = sha256 or load_sha256()
  local state = sha256:new()
  state:update(text)
  return (state:final():gsub(".", function(c) return ("%02x"):format(c:byte()) end))
end

-- Whether there were too many in this second.
local function too_many(name, most)
  return (ngx.shared.code_runs:incr(("rate:%s:%d"):format(name, ngx.time()), 1, 0, 2) or 0) > most
end

--- The key that a request has, within its rate; or nil and a problem.
function M.of_request()
  local header, key = ngx.var.http_authorization, settings.anonymous
  if header then
    local word = #header < 1000 and header:match "^[Bb][Ee][Aa][Rr][Ee][Rr] +([!-~]+)$"
    key = word and settings.keys[M.digest(word)]
  end
  if not key then
    if header and too_many(" guesses", GUESSES) then return nil, http.problem(429, "rate", "too many wrong keys") end
    ngx.header["WWW-Authenticate"] = "Bearer"
    return nil, http.problem(401, "key", header and "this key is not known" or "a key is needed: Authorization: Bearer KEY")
  end
  if too_many(key.name, key.rate) then return nil, http.problem(429, "rate", ("at most %d requests a second"):format(key.rate)) end
  return key
end

return M
