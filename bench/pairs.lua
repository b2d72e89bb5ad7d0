-- SPDX-License-Identifier: MIT
--- What a benchmark says of sides that were measured in turns, and its raw data: a line for each value in SANDBOX_BENCH_RAW, with tabs:
-- build, root or user, what was measured, side, round, value.
local quantile = dofile "bench/quantile.lua"
local M = {}

local RAW, YEAR = os.getenv "SANDBOX_BENCH_RAW", os.getenv "SANDBOX_TEST_BUILD" or "?"

--- Keeps a list of values.
function M.keep(who, what, side, list)
  local file = RAW and io.open(RAW, "a")
  if not file then return end
  for i, value in ipairs(list) do file:write(table.concat({ YEAR, who, what, side, i, ("%.4f"):format(value) }, "\t"), "\n") end
  file:close()
end

-- The median of a list and what it lies in with 95 %, by the order of the values: no shape of theirs is assumed.
local function interval(list)
  local n = #list
  local half = 0.98 * math.sqrt(n)
  local function at(i) return quantile(list, math.max(1, math.min(n, i)) / n) end
  return quantile(list, 0.5), at(math.floor(n / 2 - half)), at(math.ceil(n / 2 + half) + 1)
end

--- "A/B 0.80 [0.78, 0.83], difference -30.1 [-33.0, -27.5] ms": of each round's pair.
function M.compare(a, b, name)
  local ratios, differences = {}, {}
  for i = 1, math.min(#a, #b) do ratios[i], differences[i] = a[i] / b[i], a[i] - b[i] end
  local r, r_low, r_high = interval(ratios)
  local d, d_low, d_high = interval(differences)
  return ("%s %.3f [%.3f, %.3f], difference %+.2f [%+.2f, %+.2f] ms"):format(name, r, r_low, r_high, d, d_low, d_high)
end

--- "p50 1.00   p95 2.00   p99 3.00".
function M.percentiles(list)
  return ("p50 %8.2f   p95 %8.2f   p99 %8.2f"):format(quantile(list, 0.5), quantile(list, 0.95), quantile(list, 0.99))
end

return M
