-- SPDX-License-Identifier: MIT
-- The value below which a share of a list lies.
return function(list, q)
  local sorted = {}
  for i, v in ipairs(list) do sorted[i] = v end
  table.sort(sorted)
  return sorted[math.max(1, math.min(#sorted, math.ceil(q * #sorted)))]
end
