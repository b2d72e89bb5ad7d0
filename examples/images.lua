-- SPDX-License-Identifier: MIT
-- A program in an image, without a daemon:
--
--     lua examples/images.lua docker://python:3.12-slim python3 -c 'print(6*7)'
--     lua examples/images.lua oci:/srv/images/judge:v2
--
-- The first time it is fetched and unpacked, with progress; from then on it is there.
local sandbox = require "sandbox"

local image = arg[1]
if not image then
  io.stderr:write "usage: images.lua IMAGE [PROGRAM [ARGUMENT...]]\n"
  os.exit(2)
end

local kept = false
for _, each in ipairs(sandbox.images()) do
  for _, name in ipairs(each.references) do kept = kept or name == image end
end
if not kept then
  local got, message = sandbox.pull(image, { on_progress = function(event)
    io.stderr:write(("%s: %d KiB\n"):format(event.phase, math.floor(event.bytes / 1024)))
  end })
  if not got then
    io.stderr:write(message, "\n")
    os.exit(1)
  end
  io.stderr:write(("%s: %d files, %d MiB\n"):format(got.digest, got.files, math.floor(got.bytes / 2 ^ 20)))
end

local options = { image = image, limits = { timeout = 30, memory = "512M" } }
for i = 2, #arg do options[i - 1] = arg[i] end
local r, message = sandbox.run(options)
if not r then
  io.stderr:write(message, "\n")
  os.exit(1)
end
io.write(r.stdout)
io.stderr:write(r.stderr, r.ok and "" or r.message .. "\n")
sandbox.shutdown()
os.exit(r.ok and 0 or 1)
