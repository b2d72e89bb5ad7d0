-- SPDX-License-Identifier: MIT
-- Real clients in a sandbox, against servers of the test's own (net_servers.py): which of them get what they want under a policy.
local h = require "support.harness"

local M = {}

-- Starts the servers. What comes back: { port = by name, dir =, stop = function }.
-- @bool all sshd and PostgreSQL, too
function M.serve(all)
  local dir, remove = h.tmpdir()
  os.execute("mkfifo " .. dir .. "/stdin")
  local pipe = io.popen(("exec python3 spec/support/net_servers.py %s %s <%s/stdin"):format(dir, all and "all" or "", dir), "r")
  local kept = assert(io.open(dir .. "/stdin", "w"))
  local port = {}
  for name, number in (pipe:read "*l" or ""):gmatch "(%w+)=(%d+)" do port[name] = tonumber(number) end
  assert(port.dns, "the servers do not start")
  return { port = port, dir = dir, stop = function()
    kept:close()
    pipe:close()
    remove()
  end }
end

-- Each is tried by a shell in the guest; {HTTPS}, {HTTP}, {SSH} and {DB} stand for ports.
M.clients = {
  curl = [[test "$(curl -sS --cacert ca.pem https://web.test:{HTTPS}/)" = "hello from outside"]],
  static = [[test "$(/bin/busybox wget -q -O - http://web.test:{HTTP}/)" = "hello from outside"]],
  pip = [[/usr/bin/python3 -m pip install -q --no-cache-dir --disable-pip-version-check --retries 0 --root-user-action=ignore --no-input --target /tmp/t --cert ca.pem \
    -i https://pypi.test:{HTTPS}/simple/ probe-pkg && PYTHONPATH=/tmp/t /usr/bin/python3 -c 'import probe_pkg; assert probe_pkg.ANSWER == 42']],
  npm = [[npm install --registry https://npm.test:{HTTPS}/ --cafile ca.pem --fetch-retries 0 --no-audit --no-fund --no-update-notifier --prefix /tmp/n probe-npm &&
    test "$(node -p 'require("/tmp/n/node_modules/probe-npm")')" = 42]],
  ["git-https"] = [[GIT_SSL_CAINFO=ca.pem git clone -q https://git.test:{HTTPS}/repo.git /tmp/g1 && test "$(cat /tmp/g1/answer)" = 42]],
  ["git-ssh"] = [[GIT_SSH_COMMAND="ssh -F /dev/null -i key -o UserKnownHostsFile=known_hosts -o BatchMode=yes" git clone -q ssh://{USER}@git.test:{SSH}/{DIR}/repo.git /tmp/g2 &&
    test "$(cat /tmp/g2/answer)" = 42]],
  psql = [[test "$(set -- /usr/lib/postgresql/*/bin/psql; "$1" -h db.test -p {DB} -U probe -d postgres -Atc 'select 40 + 2')" = 42]],
}

-- Runs them, and gives { name = "ok" or "failed" }, and the result.
-- @tparam table servers
-- @tparam {string,...} names of clients
-- @tparam {string,...} allow
function M.try(servers, names, allow)
  local user = io.popen "id -un"
  local words = { HTTPS = servers.port.https, HTTP = servers.port.http, SSH = servers.port.ssh, DB = servers.port.db, USER = user:read "*l", DIR = servers.dir }
  user:close()
  local script = { "export HOME=/tmp; ! env | grep -i proxy || exit 9; cd /work" }
  for _, name in ipairs(names) do
    local line = M.clients[name]:gsub("{(%u+)}", words)
    script[#script + 1] = ("if timeout 100 sh -c '%s' >/tmp/out 2>&1; then echo %s ok; else echo %s failed; tail -n 3 /tmp/out >&2; fi"):format(line:gsub("'", "'\\''"), name, name)
  end
  local files = { ["ca.pem"] = { from = servers.dir .. "/ca.pem" } }
  if servers.port.ssh > 0 then
    files.key, files.known_hosts = { from = servers.dir .. "/key", mode = "600" }, { from = servers.dir .. "/known_hosts" }
  end
  local r = assert(h.sb:run{ "sh", "-c", table.concat(script, "\n"), files = files, network = { allow = allow, resolver = "127.0.0.1:" .. servers.port.dns },
                             limits = { timeout = 400 * h.slow, memory = "2G", pids = 256 } })
  local seen = {}
  for name, word in r.stdout:gmatch "(%S+) (%a+)\n" do seen[name] = word end
  return seen, r
end

return M
