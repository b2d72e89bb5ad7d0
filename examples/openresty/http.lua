-- SPDX-License-Identifier: MIT
-- Answers of this service: JSON, and errors in the forms of the two APIs.
local cjson = require "cjson.safe"

local M = {}

local TITLES = {
  [400] = "Bad Request", [401] = "Unauthorized", [403] = "Forbidden", [404] = "Not Found", [405] = "Method Not Allowed", [408] = "Request Timeout",
  [409] = "Conflict", [411] = "Length Required", [413] = "Content Too Large", [414] = "URI Too Long", [415] = "Unsupported Media Type",
  [422] = "Unprocessable Content", [429] = "Too Many Requests", [431] = "Request Header Fields Too Large", [500] = "Internal Server Error",
  [501] = "Not Implemented", [503] = "Service Unavailable", [505] = "HTTP Version Not Supported",
}
local WAIT = { [429] = "1", [503] = "2" }

--- Counts something: `name` with its labels.
function M.count(name, by) ngx.shared.code_metrics:incr(name, by or 1, 0) end

--- Ends the request with this text.
function M.send(status, kind, text)
  ngx.status = status
  ngx.header["Content-Type"] = kind
  ngx.header["Cache-Control"] = "no-store"
  ngx.print(text, "\n")
  M.count('requests_total{status="' .. status .. '"}')
  return ngx.exit(ngx.OK)
end

--- Ends the request with a value as JSON.
function M.answer(status, body) return M.send(status, "application/json", cjson.encode(body)) end

--- Ends the request as Piston says what is wrong.
function M.refuse(status, form, ...) return M.answer(status, { message = form:format(...) }) end

--- A problem as RFC 9457 has it, as a table.
function M.problem(status, code, detail, pointer)
  return { type = "about:blank", title = TITLES[status] or "Error", status = status, detail = detail, code = code, pointer = pointer }
end

--- Ends the request with one.
function M.fail(problem)
  if WAIT[problem.status] then ngx.header["Retry-After"] = WAIT[problem.status] end
  return M.send(problem.status, "application/problem+json", cjson.encode(problem))
end

--- Ends the request where the method is none of these ("GET, HEAD").
function M.need_method(methods)
  local method = ngx.req.get_method()
  for word in methods:gmatch "%u+" do
    if word == method then return true end
  end
  ngx.header["Allow"] = methods
  return M.fail(M.problem(405, "method", "use " .. methods))
end

--- What nginx itself refuses: a body that is too large or too slow, a request that is none.
function M.nginx_error()
  local status = tonumber(ngx.var.status) or 500
  if status < 400 then status = 400 end
  return M.fail(M.problem(status, "http", TITLES[status] or "the request could not be read"))
end

return M
