-- SPDX-License-Identifier: MIT
-- gVisor's official layout of today: runsc, and beside it a folder of the programs that it starts. A stand-in: a script that looks for
-- them as that runsc does, and is the real one then.
local h = require "support.harness"
local core, sandbox = h.core, h.sandbox
local trust = require "sandbox.machine.trust"

local REAL = os.getenv "SANDBOX_RUNSC"
local SCRIPT = [[#!/bin/sh
here=$(dirname "$(realpath "$0")") log=
case $1 in
--version) exec %s --version ;;
flags) printf '  -sidecar-usage-policy value\n' >&2; exec %s flags ;;
esac
for a; do case $a in --log=*) log=${a#--log=} ;; esac; done
say() { printf '{"msg":"%%s","level":"error","time":"2026-11-30T00:00:00Z"}\n' "$1" >>"$log"; echo "$1" >&2; exit 128; }
case " $* " in *" run "*)
  [ -x "$here/gvisor-bin/gvisor_sentry" ] || say "sidecar gvisor_sentry not found and --sidecar-usage-policy is set to STRICT"
  [ "$("$here/gvisor-bin/gvisor_sentry")" = 20261116 ] || say "this build label does not match the expected release release-20261116.0" ;;
esac
exec %s "$@"
]]

describe("a runsc with a folder of its other programs", function()
  local before, dir, remove
  local runsc, folder, sentry
  setup(function()
    assert(h.sb:run{ "true" })
    before = h.census()
    dir, remove = h.tmpdir()
    runsc, folder = dir .. "/runsc", dir .. "/gvisor-bin"
    sentry = folder .. "/gvisor_sentry"
    h.write(runsc, SCRIPT:format(REAL, REAL, REAL), "755")
  end)
  teardown(function() remove() end)

  local function release(text)
    assert(core.mkdir(folder, tonumber("755", 8)) or core.lstat(folder))
    core.unlink(sentry)
    h.write(sentry, "#!/bin/sh\necho " .. text .. "\n", "755")
  end
  local function run(options)
    local sb = sandbox.new{ runsc = runsc, state_dir = h.state_dir, boot_timeout = 30 }
    local r, message, code = sb:run(options or { "echo", "hi" })
    local flags = (sb:version() or {}).flags
    sb:close()
    return r, message, code, flags
  end
  local function refused(expected, words)
    local r, message, code = run()
    assert.is_nil(r)
    assert.are.equal(expected, code, message)
    assert.is_truthy(message:find(words, 1, true), message)
  end

  it("fails in words, with the remedy, where the folder is missing or of another release", function()
    refused("runsc_failed", "unpack gVisor's whole archive")
    release "20260831"
    refused("runsc_failed", "of one release")
  end)

  it("runs, in runs and in boxes, where it is whole", function()
    release "20261116"
    local r, message, _, flags = run()
    assert.are.equal("hi\n", r and r.stdout, message)
    assert.are.equal("hi\n", run{ "cat", "x", files = { x = "hi\n" }, collect = { "x" } }.files.x)
    local found = assert(trust.judge(core, runsc, ""))
    assert.are.equal(1, found.sidecars)
    assert.is_nil(trust.lacks(found, flags))
    found.sidecars = nil
    assert.is_truthy(trust.lacks(found, flags))
  end)

  it("is refused where others may change it, what it starts, or the way there", function()
    local parent = dir .. "/p"
    os.execute(("chmod 757 %s"):format(sentry))
    refused("runsc_missing", "gvisor_sentry: everybody may write it")
    os.execute(("chmod 755 %s; chmod 777 %s"):format(sentry, folder))
    refused("runsc_missing", "everybody may write " .. core.realpath(folder))
    os.execute(("chmod 755 %s; mkdir -p %s/q && cp %s %s/q/runsc && chmod 777 %s"):format(folder, parent, runsc, parent, parent))
    local whole = runsc
    runsc = parent .. "/q/runsc"
    refused("runsc_missing", "everybody may write " .. core.realpath(parent) .. "/")
    runsc = whole
    os.execute("rm -r " .. parent)
    if h.root then
      os.execute("chown 12345 " .. sentry)
      refused("runsc_missing", "belongs to uid 12345")
      os.execute(("chown 0 %s; chown 12345 %s"):format(sentry, folder))
      refused("runsc_missing", "belongs to uid 12345")
      os.execute("chown 0 " .. folder)
    end
  end)

  it("is no page of the web", function()
    local whole = runsc
    runsc = h.write(dir .. "/page", "<?xml version='1.0' encoding='UTF-8'?><Error><Code>NoSuchKey</Code></Error>", "755")
    refused("runsc_missing", "is no program but a page of XML or HTML")
    runsc = whole
  end)

  it("leaves nothing behind", function() assert.is_nil(h.leftovers(before)) end)
end)
