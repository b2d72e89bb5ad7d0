-- SPDX-License-Identifier: MIT
-- Tells an address of a run's end: one that the operator allows, looked up once, and never where it sends us on.
local http = require "http"
local settings = require "settings"

local M = {}

local TRIES, PAUSE, SECONDS, AT_ONCE = 3, 2, 5, 32
local MAX_LINE = 1024 -- bytes of an answer that are read

--- Takes an address apart; nil for what is none. No credentials, no fragment, nothing that two programs may read in two ways.
function M.parse(url)
  local scheme, host, port, path = url:match "^(https?)://([%w.-]+):?(%d*)(.*)$"
  if not scheme or #url > 2000 or host:find "^[.-]" or host:find "%.%." then return nil end
  if path == "" then path = "/" end
  if not path:find "^/[%w%-._~/?=&+,;:@!$'()*]*$" then return nil end -- no percent: behind one anything may be
  if path:find("//", 1, true) or (path:match "^[^?]*" .. "/"):find "/%.%.?/" then return nil end
  port = port == "" and (scheme == "https" and 443 or 80) or tonumber(port)
  if port < 1 or port > 65535 then return nil end
  return { scheme = scheme, host = host:lower(), port = port, path = path }
end

--- The row of the settings that allows an address, or nil.
function M.allowed(url)
  local to = M.parse(url)
  for _, row in ipairs(to and settings.webhooks or {}) do
    local base = M.parse(row.url)
    if base and base.scheme == to.scheme and base.host == to.host and base.port == to.port and to.path:sub(1, #base.path) == base.path then return row, to end
  end
end

-- Addresses of an operator's own networks, to which a name of somebody else's must not lead.
local PRIVATE = { "^0%.", "^10%.", "^127%.", "^169%.254%.", "^192%.168%.", "^192%.0%.0%.", "^198%.1[89]%.", "^22[4-9]%.", "^2[3-5]%d%.",
                  "^172%.1[6-9]%.", "^172%.2%d%.", "^172%.3[01]%.", "^100%.6[4-9]%.", "^100%.[7-9]%d%.", "^100%.1[01]%d%.", "^100%.12[0-7]%." }

local function is_private(address)
  for _, pattern in ipairs(PRIVATE) do
    if address:find(pattern) then return true end
  end
  return false
end

local function nameservers()
  local list, file = {}, io.open("/etc/resolv.conf", "rb")
  for line in (file and file:read(65536) or ""):gmatch "[^\n]+" do
    local address = line:match "^nameserver%s+(%d+%.%d+%.%d+%.%d+)%s*$"
    if address and #list < 3 then list[#list + 1] = address end
  end
  if file then file:close() end
  return list
end

local function load_resolver()
  for _, name in ipairs{ "resty.dns.resolver", "nginx.dns.resolver" } do -- OpenResty's name, and Debian's
    local ok, found = pcall(require, name)
    if ok and type(found) == "table" and found.new then return found end
  end
end

local function look_up(host)
  local resolver = load_resolver()
  if not resolver then return nil, "a webhook with a name needs lua-resty-dns: install Debian's package lua-nginx-dns, or give its `address`" end
  local servers = nameservers()
  if #servers == 0 then return nil, "/etc/resolv.conf names no server" end
  local r, why = resolver:new{ nameservers = servers, retrans = 2, timeout = SECONDS * 1000 }
  local answers
  if r then answers, why = r:query(host, { qtype = r.TYPE_A }) end
  if not answers or answers.errcode then return nil, "no address: " .. tostring(why or answers.errstr) end
  for _, a in ipairs(answers) do
    if a.address then return a.address end
  end
  return nil, "no address"
end

-- Where an address leads: looked up once, whatever it is asked later.
local function address_of(row, to)
  if row.address then return row.address end
  if to.host:find "^%d+%.%d+%.%d+%.%d+$" then return to.host end -- which the operator has written there
  local address, why = look_up(to.host)
  if address and not row.private and is_private(address) then return nil, to.host .. " leads to a private address" end
  return address, why
end

-- One try: the status, or nil and why not.
local function post(to, address, body)
  local sock = ngx.socket.tcp()
  sock:settimeout(SECONDS * 1000)
  local ok, why = sock:connect(address, to.port)
  if ok and to.scheme == "https" then ok, why = sock:sslhandshake(nil, to.host, true) end
  local named = to.host .. ((to.port == 80 or to.port == 443) and "" or ":" .. to.port)
  if ok then
    ok, why = sock:send{ "POST ", to.path, " HTTP/1.1\r\nHost: ", named, "\r\nContent-Type: application/json\r\nContent-Length: ", tostring(#body),
                         "\r\nUser-Agent: sandbox\r\nConnection: close\r\n\r\n", body }
  end
  local line
  if ok then line, why = sock:receive(12) end
  sock:close()
  local status = line and #line <= MAX_LINE and line:match "^HTTP/1%.[01] (%d%d%d)$"
  return tonumber(status), status and status or why or "no answer of HTTP"
end

local at_once = 0

local function tell(record)
  local row, to = M.allowed(record.webhook)
  if not row then return "forbidden" end
  local body, address, why = require("v3.view").json(record, true), address_of(row, to)
  if not address then return "unresolved", why end
  for try = 1, TRIES do
    local status
    status, why = post(to, address, body)
    if status and status >= 200 and status < 300 then return "delivered" end
    if status and status < 500 and status ~= 429 then return "refused", why end -- a redirection is one of these
    if try < TRIES then ngx.sleep(PAUSE * try) end
  end
  return "failed", why
end

--- Tells of a run's end, in a timer.
function M.tell(record)
  if at_once >= AT_ONCE then return http.count 'webhooks_total{outcome="dropped"}' end
  at_once = at_once + 1
  local ok, outcome, why = pcall(tell, record)
  at_once = at_once - 1
  if not ok then outcome, why = "failed", outcome end
  if why then ngx.log(ngx.WARN, "webhook: ", outcome, ": ", why) end
  http.count(('webhooks_total{outcome="%s"}'):format(outcome))
end

return M
