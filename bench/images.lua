-- SPDX-License-Identifier: MIT
-- Images, in turns: images.lua IMAGE [PAIRS] [unpack]; scripts/bench.sh makes the image, of this machine's Python, gcc and Node, and runs it on each build.
--   image   a start from an image that is kept        directory   the same root as `rootfs = "/dir"`
--   erofs   the same root as one EROFS file (where the build takes it)
--   unpack  sandbox-image against `umoci raw unpack` of the same image, which neither fetches nor looks through it
local core = require "sandbox.core"
local sandbox = require "sandbox"

local IMAGE, PAIRS, UNPACK = assert(arg[1], "images.lua IMAGE [PAIRS] [unpack]"), tonumber(arg[2]) or 30, arg[3] == "unpack"
local YEAR = os.getenv "SANDBOX_TEST_BUILD" or "?"
local ROOT = core.getuid() == 0
local who = ROOT and "root" or "user"
local dir = ("/tmp/sbi-%s"):format(core.random_hex(4))
assert(core.mkdir(dir, tonumber(ROOT and "711" or "700", 8)))
assert(core.mkdir(dir .. "/images", tonumber("700", 8)))

local quantile, pairwise = dofile "bench/quantile.lua", dofile "bench/pairs.lua"
local sb = sandbox.new{ runsc = os.getenv "SANDBOX_RUNSC", state_dir = dir, image_dir = dir .. "/images", boot_timeout = 120, pull_timeout = 3600 }

local function say(form, ...)
  print(form:format(...))
  io.flush()
end

local function measure(f)
  local began = core.now()
  local r, message = f()
  local took = core.now() - began
  assert(r and r.ok, message or r and tostring(r.message) .. r.stderr)
  return took * 1000
end

-- Both sides in turns, neither always first; the first round warms up.
local function compare(what, a, b)
  local ms = { {}, {} }
  for i = 0, PAIRS do
    for k = 1, 2 do
      local side = (i + k) % 2 + 1
      local took = measure(side == 1 and a.run or b.run)
      if i > 0 then ms[side][i] = took end
    end
  end
  for i, side in ipairs{ a, b } do
    pairwise.keep(who, what, side.name, ms[i])
    say("  %-26s %s ms", what .. ", " .. side.name, pairwise.percentiles(ms[i]))
  end
  say("  %-26s %s", "", pairwise.compare(ms[1], ms[2], a.name .. "/" .. b.name))
end

local got = assert(sb:pull(IMAGE))
local version = assert(sb:version())
say("build %s (%s), %s, %s: an image of %.0f files, %.0f MiB, %d pairs", YEAR, version.runsc, version.platform, who, got.files, got.bytes / 2 ^ 20, PAIRS)

local LIMITS = { timeout = 120, memory = "1G" }
local tasks = {
  { "true", { "/bin/true" } },
  { "python with imports", { "python3", "-c", "import json, re, decimal, asyncio, http.client, email, sqlite3" } },
  { "gcc hello", { "sh", "-c", "gcc -o hello hello.c && ./hello" }, { ["hello.c"] = '#include <stdio.h>\nint main(void) { puts("hello"); return 0; }\n' } },
  { "node", { "node", "-e", "require('http'); require('zlib'); console.log(1)" } },
}

-- A side of a task: its options with this root.
local function of(task, name, root)
  return { name = name, run = function()
    local options = { limits = LIMITS, files = task[3], env = { PATH = "/usr/local/bin:/usr/bin:/bin" } }
    for i, word in ipairs(task[2]) do options[i] = word end
    for k, v in pairs(root) do options[k] = v end
    return sb:run(options)
  end }
end

local file = dir .. "/root.erofs"
local packed = assert(sb:pack_image(IMAGE, file))
local probe, _, code = sb:run{ "/bin/true", rootfs = file, limits = LIMITS }
for i, task in ipairs(tasks) do
  local directory = of(task, "directory", { rootfs = got.rootfs })
  if i <= 2 then compare(task[1], of(task, "image", { image = IMAGE }), directory) end
  if packed and probe then compare(task[1], of(task, "erofs", { rootfs = file }), directory) end
end
if not probe then say("  EROFS: %s", code) end

if UNPACK then
  local ours, theirs, at = {}, {}, IMAGE:match "^oci:(.*)$"
  for i = 1, 5 do
    for k = 1, 2 do
      local began
      if (i + k) % 2 == 0 then
        assert(sb:remove_image(got.digest))
        began = core.now()
        assert(sb:pull(IMAGE))
        ours[i] = (core.now() - began) * 1000
      else
        began = core.now()
        local ids = ROOT and "--uid-map 0:100000:65536 --gid-map 0:100000:65536" or "--rootless"
        os.execute(("umoci raw unpack %s --image '%s' %s/theirs >/dev/null 2>&1"):format(ids, at, dir))
        theirs[i] = (core.now() - began) * 1000
        os.execute(("rm -rf %s/theirs"):format(dir))
      end
    end
  end
  pairwise.keep(who, "unpack", "sandbox-image", ours)
  pairwise.keep(who, "unpack", "umoci", theirs)
  say("  unpack: sandbox-image %.1f s, umoci %.1f s (n = 5), %s", quantile(ours, 0.5) / 1000, quantile(theirs, 0.5) / 1000,
    pairwise.compare(ours, theirs, "sandbox-image/umoci"))
end
sb:shutdown()
os.execute(("chmod -R u+rwX %s; rm -rf %s"):format(dir, dir))
