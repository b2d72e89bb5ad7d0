-- SPDX-License-Identifier: MIT
--- Every option in one place: name, kind, scope, default and one line of words. From these rows come what is checked and with which
-- words, the tables of the README, the types for editors and the flags of the command, so that these cannot differ.
-- @module sandbox.options.schema
local M = {}

--- Where an option may be given: the scopes, and how a message calls them.
--
-- run: a program in a sandbox of its own. box: a sandbox that stays. program: one in such a box. pool, lease: sandboxes kept ready, and
-- the program that takes a prepared one. instance: `sandbox.new`. The others are calls of a box that take options.
M.scopes = {
  { "run", "sandbox.run and sandbox.spawn" }, { "box", "sandbox.start" }, { "program", "box:run, box:spawn and pool:run" },
  { "pool", "sandbox.pool" }, { "lease", "pool:run of a prepared pool" }, { "instance", "sandbox.new" },
  { "stages", "sandbox.stages" }, { "stage", "a stage" }, { "interact", "sandbox.interact" }, { "read_file", "box:read_file" }, { "write_file", "box:write_file" },
  { "open_write", "box:open_write" }, { "list", "box:list" }, { "get", "box:get" }, { "attach", "box:attach" }, { "snapshot", "box:snapshot and box:fork" }, { "check", "sandbox.check" },
  { "pull", "sandbox.pull" }, { "prune_images", "sandbox.prune_images" },
  { "fleet", "sandbox.fleet" }, { "submit", "fleet:submit" },
}

--- Rows of options: key, kind, scopes; what the documentation shows as type and default; words. `host`: it names something of this
-- host, which a client must not (`sandbox.check(options, { client = true })`); kinds that may name such a thing see to it themselves.
-- `makes_spec`: with a bundle it says nothing, for the bundle does. `cli`: its flags at the shell: name, what follows, words (with
-- `value` it is a switch); an option that is one word has one of its own name. A key may have a row for each of several scopes.
M.options = {
  { "stdin", "stdin", scope = "run program", show = "string, function returning chunks or nil, `{ from = path }`", default_text = "closed",
    lua = "string|fun():string?|sandbox.Stdin", doc = "fed to the guest, then closed; a guest that never reads it delays nothing. `spawn` leaves it open for `job:write` when it is not given" },
  { "files", "files", scope = "run program lease instance", makes_spec = true, show = "map of path to content, or to `{ content=, from=, mode= }`", default_text = "none",
    lua = "table<string, string|sandbox.File>", cli = { { "--file", "[NAME=]PATH", "put a host file below cwd, under its own name or NAME" } },
    doc = "put in place before the program starts: relative names under `cwd`, absolute names anywhere that is writable (outside `/work` and `/tmp` with `readonly = false`, else it is `bad_rootfs`); missing directories are made; `from` names a host file to copy. Together at most `limits.disk`, else `limits.memory`, checked before the start. `mode` is an octal string, default `\"666\"`; a number raises, for Lua has no octal" },
  { "collect", "collect", scope = "run program lease instance", makes_spec = true, show = "list of paths or globs, or `{ paths=, max_bytes=\"64M\", max_files=1000, into= }`", default_text = "none",
    lua = "string[]|sandbox.Collect", cli = { { "--collect", "PATH", "read back what it wrote there, a path or glob, and put it below --into (with --json: into the result)" } },
    doc = "regular files read back after the end, in every status, as `result.files`; `into` writes them below a host directory instead. Links, FIFOs, devices are never followed or opened. `**` stands for any number of directories. Not for `spawn`, nor with `bundle`" },
  { "env", "env", scope = "run box program pool instance", makes_spec = true, show = "map string to string", default = { PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", HOME = "/tmp", LANG = "C.UTF-8" },
    default_text = "`PATH` (the usual five), `HOME=/tmp`, `LANG=C.UTF-8`", lua = "table<string, string|false>",
    cli = { { "--env", "NAME=VALUE", "set a variable in the guest" } },
    doc = "merged over the default, `false` removes one; the host's environment is never inherited" },
  { "cwd", "guest_path", scope = "run box program pool instance", makes_spec = true, show = "absolute path", default = "/work", default_text = "`/work`, an empty, private, writable directory",
    lua = "string", cli = { { "--cwd", "DIR", "working directory in the guest (default /work)" } },
    doc = "must exist in the guest: if not, a start error that says so" },
  { "user", "user", scope = "run box program pool instance", makes_spec = true, show = "`\"uid[:gid]\"`, number, or `{uid=,gid=,groups={}}`", default = "65534:65534", lua = "string|integer|sandbox.User",
    cli = { { "--user", "UID[:GID]", "identity in the guest (default 65534:65534)" } },
    doc = "identity inside the guest; as root it is host uid `map_base` + uid, so a guest that is uid 0 is nobody on the host" },
  { "capabilities", "capabilities", scope = "run box pool instance", makes_spec = true, show = "list of `CAP_…` names", default_text = "none", lua = "string[]",
    cli = { { "--capability", "CAP_NAME", "give the guest a capability" } },
    doc = "all five OCI sets are written. Where none are given, `user = 0` with `readonly = false` has CHOWN, DAC_OVERRIDE, FOWNER and FSETID, to write what root may, and with `limits.pids = false` SETUID and SETGID, which `su` and `apt-get` with an account `_apt` need (where `disk` is set as well, that needs runsc of release-20250611.0 or later with `rootfs = \"host\"` and, as an ordinary user, with a directory of somebody else's: with earlier ones files that are not the guest's stay as they are; one's own takes no owner but root there). For another uid they need a runsc that knows ambient ones, else `not_supported`: the builds of 2022 and 2024 do not. Those that undo a limit (SYS_ADMIN, SYS_RESOURCE, SETUID against `pids`) are `limit_unavailable` while that limit is on" },
  { "user_namespaces", "boolean", scope = "run box pool instance", makes_spec = true, show = "boolean", default = false, lua = "boolean",
    doc = "whether programs may make user namespaces of their own. There each is root: it leaves `pids` behind and mounts what `disk` does not count, so with those it is `limit_unavailable`" },
  { "init", "boolean", scope = "run", makes_spec = true, show = "boolean", default_text = "where `limits.pids` is given, and no `on_network`", lua = "boolean",
    cli = { { "--init", value = true, "a first process beside the program that reaps what it orphans" } },
    doc = "a first process of ours beside the program, as containers' `--init`: it reaps what the program orphans, which else is a zombie that counts in `pids` until the end. Boxes and pools have it always, and so has a run with `collect`; it makes a run slower by a sixth or so, which `init = false` spares where nothing is orphaned. `sandbox run` at the shell, whose stdin is a stream, has it with `--init` only, which reads all of stdin first. Not for `spawn`, nor with `bundle`" },
  { "rootfs", "rootfs", scope = "run box pool instance", host = true, makes_spec = true, show = "absolute path of a directory or an EROFS file, or `\"host\"`", default = "host", lua = "string",
    cli = { { "--rootfs", "DIR|host", "the guest's root (default host)" } },
    doc = "`\"host\"`: the host's `/usr /bin /sbin /lib*` and what programs keep in `/etc`, without what is the machine's own (accounts, keys, services; `sandbox doctor` lists what is left), all read-only; nothing else of the host. `/etc/passwd` has `user`, called `sandbox`, with `HOME` as its home, root and nobody" },
  { "image", "image", scope = "run box pool instance", host = true, makes_spec = true, show = "`\"docker://NAME[:TAG]\"`, `\"oci:DIR[:TAG]\"`, `\"oci-archive:FILE\"` or `\"docker-archive:FILE\"`", default_text = "none", lua = "string",
    cli = { { "--image", "IMAGE", "the guest's root: an image, fetched and unpacked once" } },
    doc = "the guest's root, in place of `rootfs`: fetched by skopeo and unpacked by umoci once, then kept in `image_dir`. See [Images](#images)" },
  { "image_defaults", "boolean", scope = "run box pool instance", makes_spec = true, default = true, lua = "boolean",
    cli = { { "--no-image-defaults", value = false, "leave out what the image says of its programs" } },
    doc = "whether the image's Env, WorkingDir and User, and Entrypoint with Cmd where no program is given, stand in for what is not given" },
  { "readonly", "boolean", scope = "run box pool instance", makes_spec = true, show = "boolean", default = true, lua = "boolean",
    cli = { { "--writable", value = false, "a private writable layer over the rootfs" } },
    doc = "false gives the guest a private, throw-away writable layer over the whole rootfs; the host directory is never changed. As root, with `user = 0`, what is root's in a directory given as `rootfs` (not `/`) is the guest's root's there, to read and to write. `/work` and `/tmp` are writable in both cases, and gone afterwards" },
  { "mounts", "mounts", scope = "run box pool instance", makes_spec = true, show = "list of `{ destination=, source=, type=\"bind\"/\"tmpfs\"/\"cow\"/\"volume\"/\"erofs\", readonly=true, size= }`", default_text = "none",
    lua = "sandbox.Mount[]", cli = { { "--mount", "SOURCE:DEST[:rw|cow|erofs]", "bind a host directory or file, read-only unless rw; cow: a directory under a layer of its own; erofs: a file" }, { "--tmpfs", "DEST[:SIZE]", "mount a tmpfs" },
                                    { "--volume", "NAME:DEST[:ro][:SIZE]", "a directory that is kept for the next run, under this name" } },
    doc = "binds are read-only unless asked; `nosuid,nodev` always. A writable one is written as the mapped user as root; as a user it needs `user = 0`, which is yourself, else `not_supported`. See [Mounts](#mounts)" },
  { "network", "network", scope = "run box pool instance", makes_spec = true, values = { "none", "host", "sandbox" }, show = "`\"none\"`, `\"host\"`, `\"sandbox\"`, or a policy table", default = "none",
    lua = '"none"|"host"|"sandbox"|sandbox.Network',
    cli = { { "--network", "none|host|sandbox", "none: loopback only (default); sandbox: every public address" },
            { "--allow", "ENTRY", "a network of its own, with this name, address or range (repeatable)" }, { "--deny", "ENTRY", "and without this (repeatable)" } },
    doc = "none: loopback only. host: the host's own stack, its 127.0.0.1 services included; needs runsc of release-20230920.0 or later. sandbox, or a table: gVisor's own stack, see [Network](#network)" },
  { "on_network", "callback", scope = "run box program lease instance", host = true, show = "function(event)", default_text = "none", lua = "fun(event:sandbox.NetworkEvent)",
    doc = "called as the guest connects, or is refused; of a program in a box: as the box does while it runs" },
  { "hostname", "hostname", scope = "run box pool instance", makes_spec = true, show = "string", default = "sandbox", lua = "string", cli = { { "--hostname", "NAME", "the guest's host name" } },
    doc = "the guest's host name" },
  { "stderr", "enum", scope = "run program instance", values = { "stdout" }, show = "`\"stdout\"` or nil", default_text = "nil", lua = '"stdout"',
    cli = { { "--merge", value = "stdout", "stderr goes to stdout, in the order of writing" } },
    doc = "merges the two in the guest, in the order of writing" },
  { "pty", "pty", scope = "run program", makes_spec = true, show = "`true` or `{ rows=24, cols=80, term=\"xterm-256color\" }`", default_text = "none", lua = "boolean|sandbox.Terminal",
    doc = "a terminal of the program's own, made inside: what it shows is stdout, `job:write` types, `job:close_stdin` types ^D, `job:resize(rows, cols)` makes it another size, `job:kill(\"HUP\")` hangs up. See [Terminals](#terminals)" },
  { "detach", "boolean", scope = "program", default_text = "false", lua = "boolean",
    doc = "for `box:spawn`: the program goes on when its job is closed, or its request ends, as long as the box does. See [Programs that stay](#programs-that-stay)" },
  { "name", "label", scope = "program", show = "letters, digits, `_`, `.` and `-`", default_text = "none", lua = "string",
    doc = "with `detach`: what `box:attach` finds it by; one program of a name at a time, else it is `busy`" },
  { "limits", "limits", scope = "run box program pool lease instance", show = "table, below", lua = "sandbox.Limits", doc = "what the run may use" },
  { "on_stdout", "callback", scope = "run program lease attach instance", host = true, show = "function(chunk)", default_text = "none", lua = "fun(chunk:string):boolean?",
    doc = "called as output arrives; returning `false` kills the run (`killed`); an error in it kills the run and is raised again after clean-up" },
  { "on_stderr", "callback", scope = "run program lease attach instance", host = true, show = "function(chunk)", default_text = "none", lua = "fun(chunk:string):boolean?", doc = "the same for stderr" },
  { "on_exit", "callback", scope = "run program", host = true, show = "function(result, message, code)", default_text = "none",
    lua = "fun(result:sandbox.Result?, message:string?, code:string?)", doc = "for `spawn` with no coroutine at all: called once, at the end" },
  { "bundle", "host_path", scope = "run", host = true, show = "absolute path", default_text = "none", lua = "string",
    cli = { { "--bundle", "DIR", "run this OCI bundle" } },
    doc = "run this OCI bundle as it stands, under the same limits, with the same result; excludes the keys that make a spec. See [Bundles](#bundles) for what is taken of it" },
  { "spec", "callback", scope = "run box pool instance", host = true, makes_spec = true, show = "function(spec)", default_text = "none", lua = "fun(spec:table):table?",
    doc = "last word on the OCI spec table before it is encoded, of each program in a box as well: of what it says there only the process counts, for the rest was decided at the start, where the program is `true`. What it gives is read as a bundle's is: see [Bundles](#bundles)" },
  -- Of an instance alone.
  { "runsc", "host_path", scope = "instance", show = "absolute path", default_text = "trusted search, `$SANDBOX_RUNSC`", lua = "string", cli = { { "--runsc", "PATH", "the binary" } },
    doc = "path of the binary" },
  { "platform", "enum", scope = "instance", values = { "auto", "systrap", "ptrace", "kvm" }, default = "auto", lua = '"auto"|"systrap"|"ptrace"|"kvm"',
    cli = { { "--platform", "NAME", "auto, systrap, ptrace or kvm" } },
    doc = "auto takes the first of systrap and ptrace that really boots within its time-out, and remembers; for boxes and pools on releases from the end of 2023 to the middle of 2025 ptrace comes first, on which programs end sooner and a sandbox that waits takes no processor time" },
  { "boot_timeout", "seconds", scope = "instance", default = 10, lua = "number", cli = { { "--boot-timeout", "SECONDS", "how long a boot may take" } },
    doc = "seconds a boot may take" },
  { "state_dir", "state_dir", scope = "instance", show = "absolute path", default_text = "`/run/lua-sandbox` as root, `$XDG_RUNTIME_DIR/lua-sandbox`; where those cannot be had, one in `/tmp` or `/var/tmp`",
    lua = "string", cli = { { "--state-dir", "DIR", "where runs live" } },
    doc = "where runs live: 0700, as root 0711, for the mapped gofer must pass" },
  { "rootless", "auto_boolean", scope = "instance", show = "`\"auto\"` or boolean", default = "auto", lua = 'boolean|"auto"', cli = { { "--rootless", "auto|true|false", "whether runsc runs as an ordinary user" } },
    doc = "whether runsc runs as an ordinary user" },
  { "filesystems", "filesystems", scope = "instance", show = "map of tags to absolute paths, or to `{ source=, readonly=true, cow=false }`", default_text = "none", lua = "table<string, string|sandbox.Filesystem>",
    cli = { { "--filesystem", "TAG=DIR[:rw|cow]", "a host directory that mounts may name as TAG, to be written only with rw, and to be a cow with either" } },
    doc = "names for directories of this host: the `source` of a mount may be such a tag, also in what a client or a fleet's job asks for. See [Mounts](#mounts)" },
  { "volume_dir", "host_path", scope = "instance", show = "absolute path", default_text = "`volumes` in `state_dir`", lua = "string",
    cli = { { "--volume-dir", "DIR", "where volumes are kept" } }, doc = "where volumes are kept: 0700, this user's alone. What is below `/run` is gone when the machine starts anew" },
  { "image_dir", "host_path", scope = "instance", show = "absolute path", default_text = "`/var/cache/lua-sandbox/images` as root, else `lua-sandbox/images` in `$XDG_CACHE_HOME` or `~/.cache`", lua = "string",
    cli = { { "--image-dir", "DIR", "where images are kept" } }, doc = "where images are kept: 0700, one user's alone, shared by all of that one's processes" },
  { "max_image_bytes", "size", scope = "instance", default = "8G", lua = "integer|string", doc = "a larger image, packed or unpacked, is refused before anything of it is unpacked" },
  { "max_image_files", "count", scope = "instance", max = 1e8, default = 500000, lua = "integer", doc = "the same for the entries of all its layers together" },
  { "pull_timeout", "seconds", scope = "instance", default = 600, lua = "number", doc = "seconds that it may take to fetch and unpack an image" },
  { "map_base", "count", scope = "instance", min = 65536, max = 4294901759, show = "integer", default_text = "65536 ids that nobody has, chosen once and remembered", lua = "integer",
    cli = { { "--map-base", "UID", "as root: the first of the host's 65536 ids that are the guests'" } },
    doc = "as root: the first of the 65536 ids of the host that stand for the guest's. Whoever has one of them (/etc/subuid, /etc/subgid, /etc/passwd, /etc/group) can kill a sandbox" },
  { "cgroup_parent", "cgroup_parent", scope = "instance", show = "`\"auto\"` or absolute path", default = "auto", lua = "string", cli = { { "--cgroup-parent", "PATH", "where cgroups are made, below the mount of their file system" } },
    doc = "where sandbox cgroups are made, v1 or v2" },
  { "control", "enum", scope = "instance", cli = {}, values = { "auto", "socket", "runsc" }, default = "auto", lua = '"auto"|"socket"|"runsc"',
    doc = "how programs are started in boxes: over the sentry's control socket, or by `runsc exec`, 20 ms slower. auto: the socket, where it answers as is known here" },
  { "max_concurrent", "count", scope = "instance", cli = {}, max = 1e6, default_text = "none", lua = "integer", doc = "runs at once in this instance, so per nginx worker" },
  { "queue", "queue", scope = "instance", show = "boolean or length", default = true, lua = "boolean|integer",
    doc = "more wait their turn, in order; `false` or a length: beyond it `busy`. Waiting never counts towards `timeout`" },
  { "queue_timeout", "seconds", scope = "instance", cli = {}, default_text = "none", lua = "number", doc = "seconds of waiting after which it is `busy`" },
  { "logger", "callback", scope = "instance", show = "function(level, message, fields)", default_text = "none", lua = "fun(level:string, message:string, fields:table)",
    doc = "its errors never break a run" },
  { "runsc_flags", "flags", scope = "instance", show = "list of strings", default_text = "none", lua = "string[]", cli = { { "--runsc-flag", "FLAG", "an extra global flag of runsc, for experts" } },
    doc = "extra global flags, for experts" },
  { "wait", "callback", scope = "instance", show = "function(fd, events, seconds)", default_text = "by host", lua = "fun(fd:integer, events:string, seconds:number?):boolean",
    doc = "how to wait in a scheduler that is not known here" },

  -- Of boxes and pools.
  { "lifetime", "seconds", scope = "box pool", default_text = "none", lua = "number", doc = "seconds after which the box ends" },
  { "idle_timeout", "seconds", scope = "box", default_text = "none", lua = "number", doc = "seconds without a program after which the box ends" },
  { "keep", "seconds", scope = "box", default_text = "the box ends with its host", lua = "number",
    doc = "seconds that the box goes on when nobody is attached to it any more, its host's end included: `sandbox.attach(box.id)` comes back. Not with `spec`. See [Boxes that stay](#boxes-that-stay)" },
  { "size", "count", scope = "pool", max = 10000, default_text = "4", lua = "integer", doc = "how many are kept: `min` and `max` in one" },
  { "min", "count", scope = "pool", min = 0, max = 10000, default_text = "`max`", lua = "integer", doc = "how many are kept when nothing is asked for" },
  { "max", "count", scope = "pool", max = 10000, default_text = "4, or `min` if that is more", lua = "integer", doc = "how many there are at most, at work and ready" },
  { "max_uses", "count", scope = "pool", max = 10000, default = 1, lua = "integer",
    doc = "1: each serves one program, and is destroyed. More: files and processes that one program leaves are there for the next" },
  { "warm_up", "argv", scope = "pool", show = "list of strings", default_text = "none", lua = "string[]",
    doc = "a program and its arguments, run once in each before it counts as ready" },
  { "prepared", "argv", scope = "pool", show = "list of strings", default_text = "none", lua = "string[]",
    doc = "a program that is started in each ahead of time: `sandbox.prepared.python{ \"json\" }` and its like" },
  { "queue", "queue", scope = "pool", show = "boolean or length", default = true, lua = "boolean|integer",
    doc = "more wait their turn, in order; `false` or a length: beyond it `busy`" },
  { "queue_timeout", "seconds", scope = "pool", default_text = "none", lua = "number", doc = "seconds of waiting after which it is `busy`" },
  { "idle_timeout", "seconds", scope = "pool", default_text = "none", lua = "number", doc = "seconds without a program after which only `min` are kept" },
  -- Of a prepared program's lease.
  { "code", "bytes", scope = "lease", show = "string", default_text = "required", lua = "string", doc = "what the prepared program is to run" },
  { "argv", "argv", scope = "lease", show = "list of strings", default_text = "none", lua = "string[]", doc = "its arguments", empty = true },
  { "stdin", "bytes", scope = "lease", show = "string", default_text = "empty", lua = "string", doc = "its stdin, after which that ends" },
  -- Of stages, beside a run's options, which are those of all stages.
  { "max_bytes", "size", scope = "stages", default = "64M", lua = "integer|string", doc = "how much of `/work` may go from one stage to the next: it is held in memory meanwhile" },
  { "max_files", "count", scope = "stages", max = 1e6, default = 10000, lua = "integer", doc = "how many files, directories and links of `/work` may" },
  { "name", "name", scope = "stage", show = "string", default_text = "none", lua = "string", doc = "the name of the stage, and of its result" },
  -- Of two programs that talk to each other.
  { "limits", "limits", scope = "interact", show = "table", lua = "sandbox.Limits", default_text = "none", doc = "for each that has none of its own" },
  { "transcript", "size_or_false", scope = "interact", show = "size, or false", default = "1M", lua = "integer|string|false", doc = "how much of what both say is kept" },
  { "grace", "seconds", scope = "interact", default = 1, lua = "number", doc = "seconds that one has for its own end when the other has ended; its stdin has ended then" },
  -- Of calls.
  { "max", "size", scope = "read_file", default = "64M", lua = "integer|string", doc = "a larger file is `too_big`" },
  { "mode", "mode", scope = "write_file open_write", show = "octal string", default = "666", lua = "string", doc = "permissions" },
  { "from", "host_file", scope = "write_file", host = true, show = "path", default_text = "none", lua = "string", doc = "a host file to copy, in place of a content" },
  { "from", "from", scope = "attach", show = '`"start"`, `"now"` or an offset', default = "start", lua = '"start"|"now"|integer',
    doc = "where the output begins: with what is kept, with what comes from now on, or at `job:offset()` of a job before" },
  { "write", "boolean", scope = "attach", default = true, lua = "boolean", doc = "whether this job takes over the program's stdin, and a terminal's size; false leaves it to the one before" },
  { "depth", "count", scope = "list", max = 100, default = 1, show = "count", lua = "integer", doc = "of directories below one another that are listed" },
  { "max_bytes", "size", scope = "get", default = "1G", lua = "integer|string", doc = "of all files together" },
  { "max_files", "count", scope = "get", max = 1000000, default = 100000, show = "count", lua = "integer", doc = "how many files" },
  { "max_bytes", "size", scope = "snapshot", default_text = "what the box may hold: `limits.disk`, else `limits.memory`", lua = "integer|string", doc = "of all files together; more is `too_big`" },
  { "memory", "boolean", scope = "snapshot", default_text = "the files alone where no program runs in the box, else `not_supported`", lua = "boolean",
    doc = "false: the files alone, whatever runs. true is `not_supported` in this version" },
  { "on_progress", "callback", scope = "pull", show = "function{ phase=, bytes=, image= }", default_text = "none", lua = "fun(event:table):boolean?",
    doc = "called as it goes on, at most four times a second; giving `false` cancels it" },
  { "timeout", "seconds", scope = "pull", default_text = "the instance's `pull_timeout`", lua = "number", doc = "seconds that it may take" },
  { "wait", "boolean", scope = "pull", default = true, lua = "boolean", doc = "false gives the pull at once: `pull:wait([seconds])`, `pull:cancel()`, `pull:close()`" },
  { "max_bytes", "size", scope = "prune_images", show = "size", default_text = "none", lua = "integer|string", doc = "what may be left, of those that are kept" },
  { "unused_for", "seconds", scope = "prune_images", default_text = "none", lua = "number", doc = "what was not used for so many seconds goes" },
  { "client", "boolean", scope = "check", default = false, lua = "boolean",
    doc = "what names anything of this host is refused: paths, functions, mounts of other than a tag, `network = \"host\"`" },
  -- Of a fleet, and of a job in it.
  { "redis", "redis", scope = "fleet", show = "`redis://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE]`", default = "redis://127.0.0.1:6379/0", lua = "string",
    doc = "where the broker is: Redis from 6.2 on, or Valkey. The name of a host is looked up while everything waits: give its address in an event loop" },
  { "queue", "fleet_queue", scope = "fleet", show = "name", default = "sandbox", lua = "string",
    doc = "which queue: letters, digits, `_`, `.`, `-`, at most 64. All keys begin with it, in braces" },
  { "max_jobs", "count", scope = "fleet", max = 1e9, default = 100000, lua = "integer", doc = "so many may wait and run; beyond that `submit` is `busy`" },
  { "key_ttl", "count", scope = "fleet", max = 1e9, default = 86400, lua = "integer", doc = "seconds for which the `key` of a job is known, from its submission on" },
  { "broker_timeout", "seconds", scope = "fleet", default = 30, lua = "number", doc = "seconds for which a broker that cannot be reached is tried again; then it is `broker_lost`" },
  { "key", "job_key", scope = "submit", show = "string", default_text = "none", lua = "string",
    doc = "one job for each key: who submits it again has the id of the first, and its answer. At most 256 bytes" },
  { "note", "note", scope = "submit", show = "string", default_text = "none", lua = "string",
    doc = "what `fleet:find(key)` gives back beside the id, at most 4096 bytes: whoever has the key alone, in another process or on another machine, can go on with the job" },
  { "needs", "needs", scope = "submit", show = "list of words", default_text = "none", lua = "string[]",
    doc = "what a worker must have to take this job: a language that it found (`python3`, `gcc`), `--has`, or one of its pools, in which it is run then. At most 8" },
}

--- Rows of `limits`. Scope: it holds for a box as a whole, or for each program; where a box is one program's, a lease may have less of it.
-- `rlimit`: a program inherits it from the box's first process, so that one has it, too.
M.limits = {
  { "timeout", "seconds", scope = "program", default = 30, at = "everything killed; counts from the guest's first instruction", flag = "`timed_out`" },
  { "cpu_time", "seconds", scope = "program", show = "seconds of CPU, all processes together", at = "killed", flag = "`cpu_exceeded`" },
  { "cpus", "cores", scope = "box lease", at = "throttled", flag = "`limits.cpus.hit` = throttled at all" },
  { "memory", "size", scope = "box lease", default = "512M", at = "killed (no swap)", flag = "`oom_killed`" },
  { "pids", "count", scope = "box lease", default = 1024, max = 4194304, show = "processes and threads in the guest", at = "`fork` fails with EAGAIN in the guest", flag = "`pids_exceeded`" },
  { "output", "size", scope = "program", default = "10M", show = "size of stdout and of stderr, each", at = "the rest is drained, counted and dropped",
    flag = "`stdout_truncated`, `stderr_truncated`" },
  { "output_keep", "enum", scope = "program", values = { "head", "tail" }, default = "head", at = "which part is kept", flag = "", mode = true },
  { "output_kill", "boolean", scope = "program", default = false, at = "at the output limit the run is killed", flag = "`output_exceeded`", mode = true },
  { "file_size", "size", scope = "program", rlimit = true, show = "size of one file", at = "SIGXFSZ/EFBIG in the guest", flag = "`limits.file_size.hit` if it can be known, else nil" },
  { "stack", "size", scope = "program", rlimit = true, show = "size of one process's stack", at = "SIGSEGV in the guest", flag = "" },
  { "address_space", "size", scope = "program", rlimit = true, show = "size of what one process maps", at = "ENOMEM in the guest", flag = "" },
  { "inodes", "count", scope = "box", max = 2 ^ 31, default = 200000, show = "files in `/work` and `/tmp`", at = "ENOSPC in the guest; held as root, and with `user = 0`; elsewhere `limit_unavailable` when it is asked for. Not asked for, it holds for `/work` alone, where that can be, and `enforced_by` is nil",
    flag = "`limits.inodes.hit` if it can be known, else nil" },
  { "disk", "size", scope = "box", show = "size of what the guest may write in all", at = "ENOSPC in the guest", flag = "`disk_exceeded`" },
  { "open_files", "count", scope = "program", rlimit = true, default = 1024, max = 1048576, show = "descriptors of one process", at = "EMFILE in the guest", flag = "" },
  { "best_effort", "boolean", scope = "box program", default = false, at = "a limit that cannot be enforced here is left out instead of refused; `result.limits` tells which", flag = "", mode = true },
}

--- Fields of the result: name, type for editors, words.
M.result = {
  { "ok", "boolean", "the program ran, exited with 0 and hit no killing limit" },
  { "status", "string", '`"exited"`, `"signaled"`, `"timed_out"`, `"oom_killed"`, `"cpu_exceeded"`, `"output_exceeded"`, `"killed"`' },
  { "exit_code", "integer?", "number when `status` is `exited`, else nil" },
  { "signal", "integer?", "number when `status` is `signaled`, else nil" },
  { "signal_name", "string?", '`"SEGV"`, with `signal`' },
  { "message", "string?", 'one sentence for a person whenever not `ok`: `"killed: 128 MiB of memory used up"`' },
  { "stdout", "string?", "complete up to the output limit, kept in every status; nil when it went to a callback or was read from the job" },
  { "stderr", "string?", "the same" },
  { "stdout_bytes", "integer", "what the guest wrote, also beyond the limit" },
  { "stderr_bytes", "integer", "the same" },
  { "files", "table<string, string>", "always a table, keyed as asked in `collect` (relative to `cwd`, or absolute): what was in the file. Empty with `into`" },
  { "files_info", "table<string, sandbox.FileInfo>", "always a table, with the same keys: `{ mode=, size= }`" },
  { "files_skipped", "table<string, string>", "always a table: why a file was left out: `\"missing\"`, `\"link\"`, `\"too big\"`, …" },
  { "timed_out", "boolean", "" }, { "oom_killed", "boolean", "" }, { "cpu_exceeded", "boolean", "" }, { "output_exceeded", "boolean", "" },
  { "pids_exceeded", "boolean?", "boolean; nil where it cannot be known (with more than 128 KiB of argv and env in `sandbox.run`, or where gVisor lost what it had to tell)" }, { "disk_exceeded", "boolean?", "boolean; nil where it cannot be known: beside a `tmpfs` mount with a size of its own, as an ordinary user, unless `user = 0`; where `overlay` holds the limit and a program contented itself with a part of a write" }, { "stdout_truncated", "boolean", "" }, { "stderr_truncated", "boolean", "" },
  { "limits", "table<string, sandbox.LimitReport>", "`{ memory = { requested=, enforced_by=\"supervisor\", hit=false }, … }` for every limit; who: `supervisor`, `rlimit`, `cgroup1`, `cgroup2`, `affinity`, `tmpfs`, `overlay`, or nil" },
  { "duration", "number", "seconds from the guest's first instruction to its end: the clock of `timeout`" },
  { "boot_duration", "number", "seconds until that first instruction" },
  { "queue_duration", "number", "seconds of waiting for a turn" },
  { "total_duration", "number", "the whole call" },
  { "cpu_time", "number?", "seconds, measured as the limit measures; nil where the machine cannot tell" },
  { "peak_memory", "integer?", "bytes, the same" },
  { "peak_pids", "integer?", "tasks that lived at once, the same" },
  { "network", "sandbox.NetworkReport?", "`{ connections=, refused=, bytes_in=, bytes_out=, exceeded=, held=, lost=, events=, failed= }` where the guest had a network of its own: see [Network](#network)" },
  { "network_exceeded", "boolean?", "whether a connection was refused because there were as many as may be, or bytes had to wait for their bandwidth; nil without a network of its own" },
  { "id", "string", "the run's name" },
  { "runtime", "sandbox.Runtime", "`{ runsc=, platform=, rootless=, cgroup=, cgroup_reason= }`; `runsc` is what the binary says of itself, `\"unknown\"` for one built without a version; `cgroup_reason` says why there is none and how to mend it" },
}

--- Fields of the small tables that options hold: name, type for editors.
M.shapes = {
  mount = { class = "sandbox.Mount", { "destination", "string", required = true }, { "source", "string" }, { "type", '"bind"|"tmpfs"|"cow"|"volume"|"erofs"' },
            { "readonly", "boolean" }, { "size", "integer|string" } },
  filesystem = { class = "sandbox.Filesystem", { "source", "string", required = true }, { "readonly", "boolean" }, { "cow", "boolean" } },
  file = { class = "sandbox.File", { "content", "string" }, { "from", "string" }, { "mode", "string" } },
  user = { class = "sandbox.User", { "uid", "integer", required = true }, { "gid", "integer" }, { "groups", "integer[]" } },
  collect = { class = "sandbox.Collect", { "paths", "string[]", required = true }, { "max_bytes", "integer|string" }, { "max_files", "integer" },
              { "into", "string" } },
  pty = { class = "sandbox.Terminal", { "rows", "integer" }, { "cols", "integer" }, { "term", "string" } },
  stdin = { class = "sandbox.Stdin", { "from", "string", required = true } },
  network = { class = "sandbox.Network", { "allow", "string[]" }, { "deny", "string[]" }, { "public", "boolean" }, { "connections", "integer" },
              { "bandwidth", "integer|string" }, { "mac", "string" }, { "address", "string" }, { "resolver", "string" } },
}

--- What calls give back, for editors: class, and fields with their type and words.
M.records = {
  { "sandbox.LimitReport", { "requested", "number?", "what was asked for" }, { "enforced_by", "string?", "who holds it; nil: nobody" },
    { "hit", "boolean?", "nil: it cannot be known" } },
  { "sandbox.Runtime", { "runsc", "string" }, { "platform", "string" }, { "rootless", "boolean" }, { "cgroup", "string", '"v1", "v2" or "none"' },
    { "cgroup_reason", "string?", "why there is none, and how to mend it" } },
  { "sandbox.NetworkReport", { "connections", "integer", "that were allowed" }, { "refused", "integer" }, { "bytes_in", "integer", "to the guest" }, { "bytes_out", "integer" },
    { "exceeded", "integer", "refused because there were as many as may be" },
    { "held", "number", "seconds for which bytes had to wait for their bandwidth" }, { "lost", "integer", "events that are not told" }, { "events", "sandbox.NetworkEvent[]" },
    { "failed", "string?", "why the network ended before the run" } },
  { "sandbox.NetworkEvent", { "at", "number", "seconds since 1970" }, { "host", "string?", "the name that was asked for" }, { "address", "string?" },
    { "port", "integer?", "nil: a question for a name" }, { "allowed", "boolean" }, { "reason", "string?", "why not" }, { "bytes_in", "integer" }, { "bytes_out", "integer" } },
  { "sandbox.FileInfo", { "mode", "string" }, { "size", "integer" } },
  { "sandbox.Version", { "sandbox", "string" }, { "core", "string" }, { "runsc", "string" }, { "path", "string" }, { "platform", "string" },
    { "rootless", "boolean" }, { "state_dir", "string" } },
  { "sandbox.Metrics", { "started", "integer" }, { "active", "integer", "runs that are going on" }, { "waiting", "integer", "runs that wait for a turn" },
    { "runs", "table<string, integer>", "by status" }, { "errors", "table<string, integer>", "by code" }, { "histograms", "table<string, table>" } },
  { "sandbox.Doctor", { "ok", "boolean", "runs work here" },
    { "checks", "{ name: string, status: string, text: string, remedy: string? }[]" } },
  { "sandbox.BoxStats", { "peak_memory", "integer", "bytes" }, { "cpu_time", "number?", "seconds" }, { "processes", "integer" },
    { "programs", "integer", "started in it" } },
  { "sandbox.PoolStats", { "ready", "integer" }, { "booting", "integer" }, { "leased", "integer" }, { "waiting", "integer" }, { "booted", "integer" },
    { "served", "integer" }, { "destroyed", "integer" }, { "failures", "integer" }, { "waits", "integer", "calls that had to wait" },
    { "waited", "number", "seconds, together" } },
  { "sandbox.Image", { "digest", "string", "of its manifest" }, { "references", "string[]", "the names that stand for it" }, { "bytes", "integer", "on the disk" },
    { "files", "integer" }, { "layers", "integer" }, { "devices", "integer", "device nodes, which were left out" }, { "last_used", "number", "seconds since 1970" },
    { "rootfs", "string", "its root on this host" }, { "key", "string", "its name below image_dir" } },
  { "sandbox.Volume", { "name", "string" }, { "path", "string", "on this host" }, { "size", "integer?", "bytes; nil: it has none" }, { "last_used", "number", "seconds since 1970" } },
  { "sandbox.FleetWorker", { "name", "string" }, { "slots", "integer" }, { "busy", "integer" }, { "free_memory", "integer", "bytes" }, { "has", "string[]", "what a job may need" },
    { "draining", "boolean" }, { "heard", "number", "seconds since it was heard of" } },
  { "sandbox.FleetStats", { "queue", "string" }, { "queued", "integer" }, { "running", "integer" }, { "age", "number", "seconds for which the first has waited" },
    { "dead", "integer", "given up" }, { "slots", "integer", "of all workers" }, { "busy", "integer" }, { "workers", "sandbox.FleetWorker[]" },
    { "needs", "table<string, { queued: integer, running: integer, age: number }>", "by what jobs need" }, { "counts", "table<string, integer>", "since the queue began" } },
  { "sandbox.Snapshot", { "bytes", "integer", "on the disk" }, { "memory", "boolean", "whether what ran is in it" },
    { "trees", "{ path: string, bytes: integer }[]", "the directories that are in it" } },
  { "sandbox.Process", { "pid", "integer" }, { "ppid", "integer" }, { "uid", "integer" }, { "command", "string" }, { "threads", "integer" } },
  { "sandbox.KeptBox", { "id", "string" }, { "state", "string" }, { "seconds", "number", "since its start" }, { "keep", "number" },
    { "hosts", "integer", "that are attached to it" }, { "programs", "string[]", "names, or ids, of its detached programs at work" } },
  { "sandbox.Program", { "name", "string?" }, { "id", "string" }, { "state", '"starting"|"running"|"ended"' }, { "argv", "string[]" }, { "pty", "boolean" },
    { "seconds", "number", "since its start" }, { "first", "integer", "offset of the oldest byte that is kept" }, { "written", "integer", "offset behind the last" },
    { "readers", "integer", "jobs that there are of it" } },
  { "sandbox.DirectoryEntry", { "name", "string" }, { "type", "string" }, { "mode", "string" }, { "size", "integer" }, { "target?", "string" }, { "mtime?", "number" } },
}

-- Lookup ----------------------------------------------------------------------------------------------------------------

local by_scope, by_name = {}, {}
for _, scope in ipairs(M.scopes) do by_scope[scope[1]] = { rows = {}, names = {}, words = scope[2] } end
for _, row in ipairs(M.options) do
  by_name[row[1]] = by_name[row[1]] or {}
  for scope in row.scope:gmatch("%S+") do
    by_scope[scope].rows[row[1]] = row
    table.insert(by_scope[scope].names, row[1])
    table.insert(by_name[row[1]], scope)
  end
end
for _, scope in pairs(by_scope) do table.sort(scope.names) end

--- A scope: rows by key, `names` in order, `words` for it.
-- @string name
-- @treturn table
function M.scope(name) return by_scope[name] end

--- In which scopes there is an option of this name.
-- @string name
-- @treturn {string,...} nil for one that there is not
function M.scopes_of(name) return by_name[name] end

-- Asked for each row of each plan: so it is taken apart once.
local scopes_of_row = {}
for _, rows in ipairs{ M.options, M.limits } do
  for _, row in ipairs(rows) do
    scopes_of_row[row] = {}
    for scope in row.scope:gmatch "%S+" do scopes_of_row[row][scope] = true end
  end
end

--- Whether a row is of a scope.
-- @tparam table row
-- @string scope
-- @treturn boolean
function M.is_of(row, scope) return scopes_of_row[row][scope] == true end

--- Rows of a scope, in the order of the documentation.
-- @string scope
-- @treturn {table,...}
function M.rows(scope)
  local out = {}
  for _, row in ipairs(M.options) do
    if M.is_of(row, scope) then out[#out + 1] = row end
  end
  return out
end

return M
