-- SPDX-License-Identifier: MIT
--- Where a worker's figures can be read: a file that is replaced, for node_exporter's textfile collector, or an address that is listened on.
-- @module sandbox.fleet.exporter
local core = require "sandbox.core"
local brokers = require "sandbox.fleet.broker"
local loop = require "sandbox.hosts.loop"
local scripts = require "sandbox.fleet.scripts"
local stats = require "sandbox.fleet.stats"
local wait = require "sandbox.hosts.wait"

local M = {}

local FILE_SECONDS = 5
local REQUEST_SECONDS, REQUEST_MAX = 10, 8192
local AT_ONCE = 16 -- requests; more are closed at once

local function own_figures(worker)
  local c = worker.config
  local out = {}
  local function gauge(name, help, value)
    out[#out + 1] = ("# HELP sandbox_worker_%s %s\n# TYPE sandbox_worker_%s gauge\nsandbox_worker_%s{queue=\"%s\"} %d\n"):format(name, help, name, name, c.queue, value)
  end
  gauge("slots", "Slots of this worker.", c.slots)
  gauge("busy", "Slots of this worker that are at work.", worker.busy)
  out[#out + 1] = "# HELP sandbox_worker_jobs_total Jobs of this worker, by what became of them.\n# TYPE sandbox_worker_jobs_total counter\n"
  for _, what in ipairs{ "answered", "failed", "fenced" } do
    out[#out + 1] = ("sandbox_worker_jobs_total{queue=\"%s\",outcome=\"%s\"} %d\n"):format(c.queue, what, worker.counts[what])
  end
  return table.concat(out)
end

-- The queue's figures and this worker's; without the broker its own alone.
local function text_of(worker, broker)
  local ok, reply = broker:script(10, scripts.stats, { worker.prefix }, { ("%d"):format(stats.GONE) })
  local queue = ok and type(reply) == "table" and tostring(stats.decode(reply, worker.config.queue)) or ""
  return queue .. own_figures(worker)
end

--- Writes them to a file every few seconds.
-- @string path
-- @treturn function a task of a worker
function M.to_file(path)
  return function(worker)
    local broker, next_at = brokers.new(worker.config.address), 0
    while not worker.over do
      if core.now() >= next_at then
        local beside = ("%s.%d"):format(path, core.getpid())
        core.unlink(beside)
        local ok, why = core.write_file(beside, text_of(worker, broker), 420)
        if ok then ok, why = core.rename(beside, path) end
        if not ok then worker.config.log(tostring(why)) end
        next_at = core.now() + FILE_SECONDS
      end
      wait.sleep(0.2)
    end
    broker:close()
  end
end

-- Until more can be done with a client's socket; false once it has had its time, or the worker ends.
local function wait_for(worker, client, events, limit)
  local left = limit - core.now()
  if left <= 0 or worker.over then return false end
  wait.wait(client:getfd(), events, math.min(left, 0.5))
  return true
end

-- Whatever is asked: a scraper asks for one thing.
local function answer(worker, broker, client)
  local limit, head = core.now() + REQUEST_SECONDS, ""
  client:settimeout(0)
  core.close_on_exec(client:getfd())
  while not head:find "\r?\n\r?\n" and #head < REQUEST_MAX do
    local got, err, part = client:receive(1024)
    head = head .. (got or part or "")
    if not got and (err ~= "timeout" or part == "" and not wait_for(worker, client, "r", limit)) then return end
  end
  local text = text_of(worker, broker)
  local reply = ("HTTP/1.0 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s"):format(#text, text)
  local at = 1
  while at <= #reply do
    local last, err, partial = client:send(reply, at)
    if not last and err ~= "timeout" then return end
    at = (last or partial) + 1
    if at <= #reply and not wait_for(worker, client, "w", limit) then return end
  end
end

--- Listens, and answers every request with them.
-- @string host
-- @int port
-- @treturn function a task of a worker, or nil, message
function M.listen(host, port)
  local ok, socket = pcall(require, "socket")
  if not ok then return nil, "install Debian's package lua-socket" end
  local server, why = socket.bind(host, port)
  if not server then return nil, why end
  server:settimeout(0)
  core.close_on_exec(server:getfd())
  return function(worker)
    local broker, at_once = brokers.new(worker.config.address), 0
    local function serve(client)
      if at_once < AT_ONCE then
        at_once = at_once + 1
        answer(worker, broker, client)
        at_once = at_once - 1
        wait.host().forget(client:getfd())
      end
      client:close()
    end
    while not worker.over do
      local client = server:accept()
      if client then
        loop.go(serve, client)
      else
        wait.wait(server:getfd(), "r", 0.5)
      end
    end
    broker:close()
    server:close()
  end
end

return M
