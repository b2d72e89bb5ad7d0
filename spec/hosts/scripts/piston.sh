#!/bin/bash
# SPDX-License-Identifier: MIT
# piston.sh TREE DIR: the service of examples/openresty on a free port, from a tree that its workers can read; DIR for its own.
set -u
tree=$1 dir=$2
here=$(pwd)
. spec/hosts/scripts/example.sh

npm=$here/build/npm
[ -e "$npm/node_modules/piston-client" ] || fail "no client from npm: scripts/npm.sh"

# A language that is an image: a shell of its own, which is told from the machine's by its version alone.
mkdir "$dir/layers" "$dir/images" && python3 spec/support/layers.py "$dir/layers" && umoci init --layout "$dir/layers/oci" && umoci new --image "$dir/layers/oci:sh" &&
  umoci raw add-layer --image "$dir/layers/oci:sh" "$dir/layers/base.tar" && umoci config --image "$dir/layers/oci:sh" --config.env FROM=image --config.user app ||
  fail "no image"
chown -R www-data "$dir/images" "$dir/layers" && chmod 700 "$dir/images"
cat >"$dir/settings.lua" <<END
return { image_dir = "$dir/images", images = { { language = "bash", aliases = { "sh" }, image = "oci:$dir/layers/oci:sh", version = "1.2.3", name = "main.sh", run = { "sh" } } } }
END
export SANDBOX_API_SETTINGS=$dir/settings.lua
serve openresty 2000
api=http://127.0.0.1:$port/api/v2
ask() { curl -s --max-time 100 "$@"; }
within 400 ask -f -o /dev/null "$api/runtimes"

node spec/hosts/scripts/piston.mjs "$npm" "http://127.0.0.1:$port" >"$dir/client.log" 2>&1 || fail "the client: $(cat "$dir/client.log")"

# wrong STATUS WORDS ARGUMENT…: an answer of this status, in JSON, with these words in its message.
wrong() {
  local want=$1 words=$2 got
  shift 2
  got=$(ask -w '\n%{http_code}' "$@")
  [ "${got##*$'\n'}" = "$want" ] || fail "$*: $got, not $want"
  python3 -c 'import json, sys; sys.exit(sys.argv[2] not in json.loads(sys.argv[1])["message"])' "${got%$'\n'*}" "$words" || fail "$*: $got without: $words"
}
json() { wrong "$1" "$2" -H 'Content-Type: application/json' -d "$3" "$api/execute"; }
py='"language":"python","version":"*"'
json 400 'must be a JSON object' 'print(1)'
json 400 'must be a JSON object' '"text"'
json 400 'language is required' '{"version":"*","files":[{"content":""}]}'
json 400 'version is required' '{"language":"python","files":[{"content":""}]}'
json 400 'cobol-* runtime is unknown' '{"language":"cobol","version":"*","files":[{"content":""}]}'
json 400 'python-2.x runtime is unknown' '{"language":"python","version":"2.x","files":[{"content":""}]}'
json 400 'files is required' "{$py}"
json 400 'files[0].content is required' "{$py,\"files\":[{}]}"
long=$(printf 'x%.0s' {1..256})
json 400 'relative path' "{$py,\"files\":[{\"name\":\"$long\",\"content\":\"\"}]}"
json 400 'relative path' "{$py,\"files\":[{\"name\":\"a/$(printf 'x/%.0s' {1..600})b\",\"content\":\"\"}]}"
json 400 'at least one utf8' "{$py,\"files\":[{\"encoding\":\"base64\",\"content\":\"\"}]}"
json 400 'compile_timeout cannot exceed' '{"language":"c","version":"*","files":[{"content":""}],"compile_timeout":1e9}'
json 400 'python-^2 || <3 runtime is unknown' '{"language":"python","version":"^2 || <3","files":[{"content":""}]}'
json 400 'relative path' "{$py,\"files\":[{\"name\":\"../x\",\"content\":\"\"}]}"
json 400 'encoding must be' "{$py,\"files\":[{\"encoding\":\"hex\",\"content\":\"xyz\"}]}"
json 400 'run_timeout cannot exceed' "{$py,\"files\":[{\"content\":\"\"}],\"run_timeout\":1e9}"
json 400 'run_timeout must be a positive number' "{$py,\"files\":[{\"content\":\"\"}],\"run_timeout\":\"1\"}"
json 400 'args must be' "{$py,\"files\":[{\"content\":\"\"}],\"args\":[1]}"
json 400 'stdin must be' "{$py,\"files\":[{\"content\":\"\"}],\"stdin\":1}"
wrong 415 'application/json' -d '{}' "$api/execute"
wrong 403 'another origin' -H 'Content-Type: text/plain' -H 'Origin: http://elsewhere' -d '{}' "$api/execute"
wrong 403 'another origin' -H "Origin: http://127.0.0.1:1" "$api/runtimes"
wrong 403 'another origin' -H "Origin: null" "$api/runtimes"
wrong 403 'is not called' -H "Host: rebound.example:$port" "$api/runtimes"
[ "$(ask -o /dev/null -w '%{http_code}' -H "Host: LOCALHOST:$port" -H "Origin: http://localhost:$port" "$api/runtimes")" = 200 ] || fail "its own origin is refused"
wrong 405 'use POST' "$api/execute"
wrong 405 'use GET' -X DELETE "$api/runtimes"
wrong 404 'no /api/v2/nowhere here' "$api/nowhere"

got=$(ask -H 'Content-Type: application/json' -d "{$py,\"files\":[{\"content\":\"print('ä')\"}]}" "$api/execute/stream")
[ "$(grep -c '^event: ' <<<"$got")" = 2 ] && grep -q '^data: {"data":"ä\\n"}' <<<"$got" && grep -q '^event: end' <<<"$got" || fail "stream: $got"
got=$(ask -H 'Content-Type: application/json' -d "{\"language\":\"sh\",\"version\":\"1.x\",\"run_timeout\":10000,\"args\":[\"a\"],\"files\":[{\"content\":\"echo \$FROM \$1; pwd; id -u; ls /app\"}]}" "$api/execute")
grep -qF '"stdout":"image a\n\/work\n1000\ngone\nown\n"' <<<"$got" || fail "a language that is an image: $got"
got=$(ask -H 'Content-Type: application/json' -d '{"language":"bash","code":"echo $FROM; pwd","limits":{"timeout":10}}' "http://127.0.0.1:$port/api/v3/runs?wait=30")
grep -qF 'image\n' <<<"$got" || fail "a language that is an image, in /api/v3: $got"
got=$(ask "http://127.0.0.1:$port/health")
grep -q '"status":"ok"' <<<"$got" || fail "health: $got"
got=$(ask "http://127.0.0.1:$port/metrics")
# The loop that ran out of time did so by the clock or by its processor time, which is as long.
grep -Eq '^code_runs_total\{language="python",status="(timed_out|cpu_exceeded)"\} 1$' <<<"$got" || fail "metrics: $got"
[ -d "$dir/run/lua-sandbox" ] || fail "the runs were elsewhere"
within 400 none_left || fail "left: $(left)"
echo passed
