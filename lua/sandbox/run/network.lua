-- SPDX-License-Identifier: MIT
--- Who a guest may talk to: from the option `network` to the rules that sandbox-net holds (src/net/net_policy.h).
-- @module sandbox.run.network
local M = {}

local CONNECTIONS_MAX = 4096
local RULES_MAX = 1024
local DEFAULT_PORTS = { { 80, 80 }, { 443, 443 } }
local EVERY_PORT = { { 1, 65535 } }

--- The link's own addresses, where none are asked for: of a network that has no broadcast address, to which gVisor would try to
-- connect until it gave up.
M.GUEST, M.EDGE, M.BITS = "198.18.0.2", "198.18.0.3", 31

local function ipv4(text)
  local a, b, c, d = text:match "^(%d%d?%d?)%.(%d%d?%d?)%.(%d%d?%d?)%.(%d%d?%d?)$"
  if not a then return nil end
  local bytes = { tonumber(a), tonumber(b), tonumber(c), tonumber(d) }
  for i = 1, 4 do
    if bytes[i] > 255 then return nil end
  end
  return bytes
end

-- Groups of four hexadecimal digits, one `::` at most; what is more exotic (a dotted end, a zone) is no literal here.
local function ipv6(text)
  if not text:find(":", 1, true) or text:find("[^%x:]") or text:find(":::", 1, true) then return nil end
  local _, gaps = text:gsub("::", "")
  if gaps > 1 or (text:find "^:" and not text:find "^::") or (text:find ":$" and not text:find "::$") then return nil end
  local groups = 0
  for group in text:gmatch "%x+" do
    groups = groups + 1
    if #group > 4 then return nil end
  end
  return gaps == 1 and groups <= 7 or groups == 8
end

local function is_name(text)
  if #text == 0 or #text > 253 then return false end
  for label in (text .. "."):gmatch "([^.]*)%." do
    if #label == 0 or #label > 63 or label:find "[^%w_-]" then return false end
  end
  return not text:find "^[%d.]+$" -- a number that is no address
end

-- "443", "5432-5433"
local function read_port(text)
  local low, high = text:match "^(%d+)%-(%d+)$"
  if not low then low = text:match "^%d+$" end
  low, high = tonumber(low), tonumber(high or low)
  if not low or low < 1 or high > 65535 or low > high then return nil end
  return { { low, high } }
end

-- What, and the ports' text or nil.
local function split(entry)
  local inside, rest = entry:match "^%[([^%]]*)%](.*)$"
  if inside then
    local bits, ports = rest:match "^(/%d+)(.*)$"
    rest = ports or rest
    if rest ~= "" and rest:sub(1, 1) ~= ":" then return nil end
    return inside .. (bits or ""), rest ~= "" and rest:sub(2) or nil, true
  end
  local what, ports = entry:match "^([^:]*):([^:]*)$"
  if what then return what, ports end
  return entry
end

local function read_address(what)
  local address, bits = what:match "^(.-)/(%d%d?%d?)$"
  address, bits = address or what, tonumber(bits)
  local four, six = ipv4(address), ipv6(address)
  if not four and not six then return nil end
  local most = four and 32 or 128
  bits = bits or most
  if bits > most then return nil end
  return ("net:%s/%d"):format(address:lower(), bits), six and not four
end

--- Reads one entry.
-- @string entry such as "pypi.org", "*.pythonhosted.org", "github.com:22", "10.1.2.0/24:5432", "[2001:db8::1]:443"
-- @treturn {string,...} rules, or nil; and whether it is about IPv6
function M.entry(entry)
  if type(entry) ~= "string" or #entry > 300 or entry:find "[%z\1-\32\127-\255]" then return nil end
  local what, port_text, bracketed = split(entry)
  local ports
  if port_text then
    ports = read_port(port_text)
    if not ports then return nil end
  end
  if not what then return nil end
  local rule, six = read_address(what)
  if bracketed and not six then return nil end
  if not rule then
    local name = what:lower():gsub("%.$", "")
    local under = name:match "^%*%.(.+)$"
    if not is_name(under or name) then return nil end
    rule = (under and "under:" or "name:") .. (under or name)
    ports = ports or DEFAULT_PORTS
  end
  local rules = {}
  for _, range in ipairs(ports or EVERY_PORT) do rules[#rules + 1] = ("%s %d-%d"):format(rule, range[1], range[2]) end
  return rules, six
end

--- A policy as the items that sandbox-net reads.
-- @tparam table policy checked: allow, deny, public, connections, bandwidth
-- @treturn {{string,string},...} and whether the guest gets IPv6
function M.items(policy)
  local items, ipv6_wanted = {}, false
  for _, key in ipairs{ "allow", "deny" } do
    for _, entry in ipairs(policy[key] or {}) do
      local rules, six = M.entry(entry)
      ipv6_wanted = ipv6_wanted or (six and key == "allow") or false
      for _, rule in ipairs(rules) do items[#items + 1] = { key, rule } end
    end
  end
  if policy.public then items[#items + 1] = { "public", "1" } end
  items[#items + 1] = { "connections", ("%d"):format(policy.connections or 128) }
  items[#items + 1] = { "bandwidth", ("%.0f"):format(policy.bandwidth or 0) }
  return items, ipv6_wanted
end

--- Whether a text is a MAC address that one host may have.
function M.mac(text)
  local first = text:match "^(%x%x):%x%x:%x%x:%x%x:%x%x:%x%x$"
  return first ~= nil and tonumber(first, 16) % 2 == 0 and not text:find "^[0:]+$"
end

--- The two ends of a link: the guest's address, another of its network for the edge, and the network's bits.
-- @string text such as "10.0.0.2/24"
-- @treturn string guest, string edge, integer bits; or nil
function M.link(text)
  local address, bits = text:match "^([%d.]+)/(%d%d?)$"
  local bytes = address and ipv4(address)
  bits = tonumber(bits)
  if not bytes or bits < 8 or bits > 31 then return nil end
  local number = ((bytes[1] * 256 + bytes[2]) * 256 + bytes[3]) * 256 + bytes[4]
  local size = 2 ^ (32 - bits)
  local base = number - number % size
  if bits < 31 and (number == base or number == base + size - 1) or bytes[1] == 127 or bytes[1] == 0 or bytes[1] >= 224 then return nil end
  local edge = bits == 31 and 2 * base + 1 - number or base + 1 == number and base + 2 or base + 1
  local out = {}
  for i = 4, 1, -1 do
    out[i] = ("%d"):format(edge % 256)
    edge = math.floor(edge / 256)
  end
  return address, table.concat(out, "."), bits
end

--- Whether a text is the address of a name server, as c-ares reads it.
function M.resolver(text)
  local address, port = text:match "^([%d.]+):(%d+)$"
  if not address then address, port = text:match "^%[([%x:]+)%]:(%d+)$" end
  address = address or text
  return (ipv4(address) or ipv6(address)) ~= nil and (not port or read_port(port) ~= nil)
end

--- What the guest reads of its network: its resolver is the link's other end.
-- @tparam table policy
-- @treturn string
function M.resolv_conf(policy)
  local _, edge = M.link(policy.address or M.ADDRESS)
  return "nameserver " .. edge .. "\noptions no-aaaa\n" -- a name has an address of ours, which is IPv4: glibc need not ask for another
end

-- What was told --------------------------------------------------------------------------------------------------------

--- Keeps what sandbox-net tells of a run.
-- @treturn table
function M.record() return { events = {}, by_id = {}, policies = 0, seen = 0, spans = setmetatable({}, { __mode = "k" }) } end

--- Keeps what is told from now on for one program of a box, until `settle`; it ends with whoever holds it.
-- @tparam table record of the box
-- @tparam[opt] function tell is told of each event
-- @treturn table
function M.span(record, tell)
  local span = { events = {}, ids = {}, tell = tell }
  record.spans[span] = true
  return span
end

--- Whether all has come that was told while a span's program ran; nothing later is added to it.
-- @tparam table record of the box
-- @tparam table span
-- @tparam table x the supervisor's list about the program
-- @treturn boolean
function M.settle(record, span, x)
  local from, to = tonumber(x["network.from"]), tonumber(x["network.to"])
  if not to then return true end
  span.to = to
  -- What was not told will not come.
  if record.seen < to and x["network.lost"] == "0" and not record.failed then return false end
  record.spans[span] = nil
  for i = #span.ids, 1, -1 do -- late words of earlier ones
    if span.ids[i] < from or span.ids[i] >= to then
      table.remove(span.ids, i)
      table.remove(span.events, i)
    end
  end
  return true
end

--- What has not come by now, for a killed sandbox-net told it to nobody, is not waited for again.
-- @tparam table record of the box
-- @tparam table x the supervisor's list about the program
function M.give_up(record, x) record.seen = math.max(record.seen, tonumber(x["network.to"]) or 0) end

local function keep(list, event, id)
  if #list.events >= M.EVENTS or list.to and id >= list.to then return false end
  list.events[#list.events + 1] = event
  if list.ids then list.ids[#list.ids + 1] = id end
  return true
end

local function number(value)
  local n = tonumber(value)
  return n and math.tointeger and not value:find("[%.eE]") and math.tointeger(n) or n
end

-- Takes one record of a message; the event, where it is a new one.
local function take(record, map)
  if map.event then
    local event = { at = number(map.at), host = map.host, address = map.address, port = map.port and number(map.port), allowed = map.reason == nil,
                    reason = map.reason, bytes_in = 0, bytes_out = 0 }
    local id = number(map.event)
    local kept = keep(record, event, id)
    for span in pairs(record.spans) do
      kept = keep(span, event, id) or kept
      if span.tell and not (span.to and id >= span.to) then span.tell(event) end
    end
    record.seen = math.max(record.seen, id + 1)
    if kept and event.allowed then record.by_id[map.event] = event end -- it will be told of its end
    return event
  end
  local event = map["end"] and record.by_id[map["end"]]
  if event then
    event.bytes_in, event.bytes_out = number(map.bytes_in), number(map.bytes_out)
    record.by_id[map["end"]] = nil
  end
  if map.say == "policy" then record.policies = record.policies + 1 end
  if map.say == "error" then record.failed = map.text end
end

local FIRST = { event = true, ["end"] = true, say = true } -- keys of a record (sbx_net.h)

--- Takes one message: records, each of which begins with a key of its own.
-- @tparam table record
-- @string bytes
-- @treturn {table,...} the new events
function M.take(record, bytes)
  local events, map = {}, {}
  for key, value in bytes:gmatch "([^%z=]+)=([^%z]*)" do
    if FIRST[key] and next(map) then
      events[#events + 1] = take(record, map)
      map = {}
    end
    map[key] = value
  end
  events[#events + 1] = take(record, map)
  return events
end

--- A policy as sandbox-net reads it.
-- @tparam table policy
-- @treturn string bytes
-- @treturn boolean whether the guest gets IPv6
function M.policy(policy)
  local items, ipv6_wanted = M.items(policy)
  for i, item in ipairs(items) do items[i] = item[1] .. "=" .. item[2] .. "\0" end
  return table.concat(items), ipv6_wanted
end

--- `result.network`.
-- @tparam table record
-- @tparam table x the supervisor's list
-- @treturn table, or nil for a run without a network of its own
function M.result(record, x)
  if not x["network.connections"] then return nil end
  local out = { events = record and record.events or {}, failed = record and record.failed or x["network.failed"] == "1" and "sandbox-net ended before the run" or nil }
  for _, name in ipairs{ "connections", "refused", "bytes_in", "bytes_out", "exceeded", "held", "lost" } do out[name] = number(x["network." .. name] or "0") end
  return out
end

--- runsc's word for the network of a plan.
-- @tparam table plan
-- @treturn string "none", "host" or "sandbox"
function M.word(plan) return type(plan.network) == "table" and "sandbox" or plan.network == "host" and "host" or "none" end

M.MESSAGE_MAX = 128 * 1024 -- sbx_net.h
M.CONNECTIONS_MAX, M.RULES_MAX, M.EVENTS, M.ADDRESS = CONNECTIONS_MAX, RULES_MAX, 1000, M.GUEST .. "/" .. M.BITS

return M
