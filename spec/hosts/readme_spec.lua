-- SPDX-License-Identifier: MIT
-- What the README shows runs as it is printed. Only what a snippet takes from the text around it (`code`, `data`, …) is given here.
local fleets = require "support.fleet"
local env = require "support.harness"
local sandbox = require "sandbox"

-- Of each snippet, by its first line: values it takes from around it, what it leaves to be looked at, and how that is.
local known = {
  ['local sandbox = require "sandbox"'] = { keep = "r", check = function(kept, printed)
    assert.equal("42\n\ttrue\texited\t0\n", printed)
    assert.is_true(kept.r.ok)
  end },
  ['local job = assert(sandbox.spawn{ "cat" })'] = { keep = "r", check = function(kept, printed)
    assert.equal("stdout: hello\n", printed)
    assert.is_true(kept.r.ok)
  end },
  ["local results = sandbox.loop(function()"] = { given = { submissions = { "print(1)", "error()", "io.write(3)" } }, keep = "results", check = function(kept)
    assert.same({ "1\n", 1, "3" }, { kept.results[1].stdout, kept.results[2].exit_code, kept.results[3].stdout })
  end },
  ["local r = assert(sandbox.stages{"] = { given = { source = "#include <stdio.h>\nint main(void) { int a, b; return scanf(\"%d%d\", &a, &b) != 2 || printf(\"%d\\n\", a + b) < 0; }\n" },
    keep = "r", check = function(kept)
      assert.same({ true, 2, "42\n" }, { kept.r.ok, kept.r.stage, kept.r.run and kept.r.run.stdout })
    end },
  ["local judge, player, said = sandbox.interact({ \"python3\", \"-c\", judge_code }, { \"python3\", \"-c\", player_code }, { limits = { timeout = 5 } })"] = {
    given = { judge_code = "print(6)\nassert input() == '42'", player_code = "print(int(input()) * 7)" }, keep = "judge", check = function(kept, printed)
      assert.equal("true\ttrue\t1\t6\n\n", printed)
      assert.is_true(kept.judge.ok)
    end },
  ["local box = assert(sandbox.start{ limits = { memory = \"256M\", pids = 64 } })"] = {
    given = { data = "[20, 22]", code = "import json\njson.dump(sum(json.load(open('in.json'))), open('out.json', 'w'))" }, keep = "r, out", check = function(kept)
      assert.same({ true, "42" }, { kept.r.ok, kept.out })
    end },
  ["local fleet = sandbox.fleet{ redis = \"redis://127.0.0.1:6379/0\", queue = \"judge\" }"] = {
    given = { code = "print(42)" }, keep = "fleet, r, result", fleet = "judge", check = function(kept, printed)
      assert.same({ "42\n", "exited" }, { kept.r.stdout, kept.result.status })
      assert.is_truthy(printed:find 'sandbox_fleet_queued{queue="judge"} 0\n')
    end },
  ['local job = assert(box:spawn{ "python3", "-um", "http.server", detach = true, name = "server" })'] = {
    begin = function() return { box = assert(env.sb:start{}) } end, keep = "box, again", check = function(kept, printed)
      assert.truthy(printed:find("^server\t%a+ing\t%d+\nstdout\tServing HTTP on [^\n]*port 8000"), printed)
      kept.again:close()
      kept.box:stop()
    end },
  ["local pool = assert(sandbox.pool{ size = 4, limits = { memory = \"128M\" } })"] = {
    given = { code = "print(6*7)", source = "import sys\nprint(input(), sys.argv)", input = "in\n" }, keep = "pool, python, r", check = function(kept)
      assert.equal("in ['main.py', 'x']\n", kept.r.stdout)
      kept.pool:close()
      kept.python:close()
    end },
}

local function snippets()
  local list = {}
  for body in env.read("README.md"):gmatch "\n```lua\n(.-)\n```" do list[#list + 1] = body end
  return list
end

-- The module as the snippets find it, on an instance of the tests': its state is where the other specs look for what is left.
local module = setmetatable({}, { __index = function(_, name)
  local method = env.sb[name]
  if method then return function(...) return method(env.sb, ...) end end
  return sandbox[name]
end })

describe("README", function()
  local before
  setup(function()
    assert(env.sb:run{ "true" })
    before = env.census()
  end)

  it("has snippets that run", function()
    local ran = 0
    for _, body in ipairs(snippets()) do
      local first = body:match "^[^\n]*"
      local what, printed, kept = known[first] or {}, {}, {}
      if what.begin then what.given = what.begin() end
      local function out(separator, newline)
        return function(...)
          local words = {}
          for i = 1, select("#", ...) do words[i] = tostring((select(i, ...))) end
          printed[#printed + 1] = table.concat(words, separator) .. newline
        end
      end
      local scope = setmetatable({
        sandbox = module, require = function(name) return name == "sandbox" and module or require(name) end, print = out("\t", "\n"),
        io = setmetatable({ write = out("", "") }, { __index = io }), keep = function(t) kept = t end,
      }, { __index = what.given or _G })
      if what.given then setmetatable(what.given, { __index = _G }) end
      local broker = what.fleet and fleets.broker()
      if broker then
        broker:sandboxes(what.fleet)
        body = body:gsub("redis://127%.0%.0%.1:6379/0", broker.url)
      end
      local code = body .. "\nkeep{ "
      for name in (what.keep or ""):gmatch "%w+" do code = code .. name .. " = " .. name .. ", " end
      code = code .. "}"
      local chunk, message
      if rawget(_G, "setfenv") then -- 5.1 and LuaJIT
        chunk, message = loadstring(code, "@README.md") -- luacheck: ignore
        if chunk then setfenv(chunk, scope) end -- luacheck: ignore
      else
        chunk, message = load(code, "@README.md", "t", scope) -- luacheck: ignore
      end
      assert.is_truthy(chunk, message)
      chunk()
      if what.check then what.check(kept, table.concat(printed)) end
      if broker then
        kept.fleet:close()
        broker:stop()
      end
      if known[first] then ran = ran + 1 end
    end
    local expected = 0
    for _ in pairs(known) do expected = expected + 1 end
    assert.equal(expected, ran, "a snippet of the README is not known here any more")
  end)

  it("leaves nothing behind", function() assert.is_nil(env.leftovers(before)) end)
end)
