-- SPDX-License-Identifier: MIT
--- A task of sandbox-image's that goes on: under a supervisor, as any job, so that it is waited for in the host's way, ends with its host,
-- and can be cancelled.
-- @module sandbox.image.pull
local core = require "sandbox.core"
local errors = require "sandbox.errors"
local json = require "sandbox.json"
local request = require "sandbox.run.request"
local values = require "sandbox.options.values"

local M = {}

local LINE = 65536 -- bytes; ours are far below

local Pull = {}
Pull.__index = Pull

-- What skopeo finds its own configuration by: it goes over a pipe, for there may be a password in it.
local environment = { "HOME", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "REGISTRY_AUTH_FILE", "CONTAINERS_REGISTRIES_CONF", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY",
                      "http_proxy", "https_proxy", "no_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR" }

-- Somebody else's directory, as after a change of the user: skopeo would fail on what it cannot look into.
local function is_foreign(path)
  local st = path:sub(1, 1) == "/" and core.stat(path)
  return st and st.type == "directory" and not core.access_x(path)
end

local function environment_lines()
  local out = {}
  for _, name in ipairs(environment) do
    local value = core.getenv_secure(name)
    if value and not is_foreign(value) and #value < 4096 and not value:find "[\r\n]" then out[#out + 1] = name .. "=" .. value .. "\n" end
  end
  return table.concat(out)
end

local function take(self, event)
  if event.event == "progress" and self.on_progress then
    return self.on_progress{ phase = tostring(event.phase), bytes = values.integer(math.floor(tonumber(event.bytes) or 0)), image = self.name }
  elseif event.event == "removed" then
    self.removed[#self.removed + 1] = { key = tostring(event.key), bytes = values.integer(math.floor(tonumber(event.bytes) or 0)) }
  elseif event.event == "done" or event.event == "error" then
    self.last = event
  end
end

local function listen(self, chunk)
  self.rest = self.rest .. chunk
  local at = self.rest:find("\n", 1, true)
  while at do
    local event = json.decode(self.rest:sub(1, at - 1))
    self.rest = self.rest:sub(at + 1)
    if type(event) == "table" and take(self, event) == false then
      self.cancelled = true
      return false
    end
    at = self.rest:find("\n", 1, true)
  end
  if #self.rest > LINE then self.rest = "" end
end

--- Starts a task; does not wait.
-- @tparam table host the instance's services
-- @tparam {string,...} args of sandbox-image
-- @tparam table how { name = of the image, timeout = seconds, on_progress = function(event), finish = function(pull) what `wait` gives in the end }
-- @treturn Pull or nil, message, code
function M.begin(host, args, how)
  local self = setmetatable({ name = how.name, on_progress = how.on_progress, timeout = how.timeout, finish = how.finish, rest = "", removed = {} }, Pull)
  local plan = { mode = "tool", quiet = true, id = core.random_hex(16), limits = { timeout = how.timeout }, stdin = environment_lines(),
                 on_stdout = function(chunk) return listen(self, chunk) end }
  local message, code
  self.job, message, code = host.launch(plan, request.image(args, how.timeout))
  if not self.job then return nil, message, code end
  return self
end

local function outcome(self, r, message, code)
  if not r then return nil, message, code end
  local last = self.last
  if last and last.event == "error" then return nil, tostring(last.message), tostring(last.code) end
  if last and not self.cancelled then return self.finish(self) end
  if r.timed_out then return nil, ("%s was not done within %g s (pull_timeout)"):format(self.name, self.timeout), "timeout" end
  if self.cancelled or r.status == "killed" then return nil, self.name .. " was cancelled", "closed" end
  return nil, ("sandbox-image ended without a word on %s: %s"):format(self.name, tostring(r.message)), "system"
end

--- Waits for its end.
-- @number[opt] seconds at most so long
-- @return what it was for, or nil, message, code: "timeout", not yet; "closed", it was cancelled
function Pull:wait(seconds)
  if getmetatable(self) ~= Pull then errors.raise "bad self: call pull:wait(…) with a colon" end
  local r, message, code = self.job:wait(seconds)
  if not r and code == "timeout" then return nil, message and "it goes on", code end
  self.job:close()
  local out, why, kind = outcome(self, r, message, code)
  return out, why, kind
end

--- Cancels it; what it has begun is swept, and what is complete stays.
function Pull:cancel()
  self.cancelled = true
  self.job:kill()
end

--- Lets go of it: it is cancelled, and nobody waits for it. Never waits itself.
function Pull:close()
  self.cancelled = true
  self.job:close()
end

Pull.__close = Pull.close

--- One descriptor to poll, as a job's.
function Pull:pollfd() return self.job:pollfd() end
--- What to poll it for.
function Pull:events() return self.job:events() end

return M
