-- SPDX-License-Identifier: MIT
--- The module `sandbox` under a name of its own, for machines where the unrelated rock `sandbox` shadows it.
-- @module sandbox_gvisor
return require "sandbox.init"
