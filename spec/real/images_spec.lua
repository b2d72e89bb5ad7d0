-- SPDX-License-Identifier: MIT
-- What is in an image, seen from inside: 64 layers with all that layers can say (support/deep.py), listed by the image's own program as
-- its User (support/listing.c). The list is the one that `podman run` of the same image gives, which is asked on one build.
local h = require "support.harness"

local LIST = [[
as 1000:1001
. d0755 0:0
./back -0644 0:0 1 2
./becomes-dir d0755 0:0
./becomes-dir/in -0644 0:0 1 2
./becomes-file -0644 0:0 1 3
./becomes-link l0777 0:0 1 10 -> opaque/new
./bin d0755 0:0
./bin/listing -0755 0:0 1 SIZE
./changed -0640 7:8 1 5
./deep d0755 0:0
./deep/n64 -0644 64:64 1 2
./drop d1777 0:0
./etc d0755 0:0
./etc/group -0644 0:0 1 22
./etc/passwd -0644 0:0 1 49
./large-ids -0644 65534:60000 1 0
./nobody d0755 0:0
./nobody/spoke d0755 0:0
./nobody/spoke/of -0644 1000:1001 1 2
./noted -0644 0:0 1 2 user.note=7632
./odd é€ name -0644 0:0 1 1
./one -0644 0:0 2 4
./opaque d0755 0:0
./opaque/new -0644 0:0 1 3
./own -0600 1000:1001 1 3
./set-group -2755 0:1001 1 0
./set-user -4755 0:0 1 0
./shut d0700 0:0
./team d2775 1000:1001
./two -0644 0:0 2 4
]]

describe("images", function()
  local dir, remove, sb, image, before
  setup(function()
    dir, remove = h.tmpdir()
    assert(os.execute(("gcc -std=gnu11 -D_GNU_SOURCE -O1 -static -o %s/listing spec/support/listing.c && python3 spec/support/deep.py %s %s/listing"):format(dir, dir, dir)))
    image, LIST = ("oci:%s/oci:deep"):format(dir), LIST:gsub("SIZE", ("%.0f"):format(h.core.stat(dir .. "/listing").size))
    assert(h.sb:run{ "true" })
    sb = h.sandbox.new{ state_dir = h.state_dir, boot_timeout = 30, control = h.control, image_dir = dir .. "/store" }
    before = h.census()
  end)
  teardown(function()
    sb:shutdown()
    assert.is_nil(h.leftovers(before))
    os.execute("chmod -R u+rwX " .. dir)
    remove()
  end)

  it("have the files, modes, links and owners that podman has", function()
    local r, message = sb:run{ image = image }
    local out, wanted = assert(r, message).stdout, LIST
    if not h.root then -- all are the guest's root's; umoci keeps whose they were in an attribute
      wanted = wanted:gsub(" %d+:%d+", " 0:0"):gsub("^as 0:0", "as 1000:1001")
      out = out:gsub(" user%.rootlesscontainers=%x*", "")
    end
    if h.build ~= "2026" then wanted = wanted:gsub(" user%.[^\n]*", "") end -- there gVisor shows no attributes of the host's files
    assert.equal(wanted, out, r.stderr)
  end)

  it("are what podman runs #once", function()
    if not h.root then return end
    -- By a path that is short: podman makes a name of it, which has no capital letters.
    local line = "cd %s && podman --root %s/podman --runroot %s/run run --rm --quiet --network none --runtime /usr/sbin/runc --ulimit nofile=1024:4096"
      .. " --ulimit nproc=4096:4096 oci:oci:deep 2>%s/err"
    local pipe = io.popen(line:format(dir, dir, dir, dir))
    local out = pipe:read "*a"
    pipe:close()
    os.execute(("umount %s/podman/overlay 2>/dev/null"):format(dir))
    -- podman's own root directory is 0555.
    assert.equal(LIST, (out:gsub("%. d0555", ". d0755", 1)), h.slurp(dir .. "/err"))
  end)
end)
