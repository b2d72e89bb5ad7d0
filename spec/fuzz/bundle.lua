-- SPDX-License-Identifier: MIT
-- A stranger's config.json: what comes of it is what may be in runsc's, or a reason.
local examine = require "support.bundle_examine"

return function(bytes) examine.examine(bytes) end
