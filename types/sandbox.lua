---@meta sandbox
-- SPDX-License-Identifier: MIT
-- Made by scripts/docs.lua from lua/sandbox/options/schema.lua; do not edit.

---@class sandbox.Limits
---@field timeout? number|false everything killed; counts from the guest's first instruction
---@field cpu_time? number|false killed
---@field cpus? number|false throttled
---@field memory? integer|string|false killed (no swap)
---@field pids? integer|false `fork` fails with EAGAIN in the guest
---@field output? integer|string|false the rest is drained, counted and dropped
---@field output_keep? "head"|"tail" which part is kept
---@field output_kill? boolean at the output limit the run is killed
---@field file_size? integer|string|false SIGXFSZ/EFBIG in the guest
---@field stack? integer|string|false SIGSEGV in the guest
---@field address_space? integer|string|false ENOMEM in the guest
---@field inodes? integer|false ENOSPC in the guest; held as root, and with `user = 0`; elsewhere `limit_unavailable` when it is asked for. Not asked for, it holds for `/work` alone, where that can be, and `enforced_by` is nil
---@field disk? integer|string|false ENOSPC in the guest
---@field open_files? integer|false EMFILE in the guest
---@field best_effort? boolean a limit that cannot be enforced here is left out instead of refused; `result.limits` tells which

---@class sandbox.Collect
---@field paths string[]
---@field max_bytes? integer|string
---@field max_files? integer
---@field into? string

---@class sandbox.File
---@field content? string
---@field from? string
---@field mode? string

---@class sandbox.Mount
---@field destination string
---@field source? string
---@field type? "bind"|"tmpfs"|"cow"|"volume"|"erofs"
---@field readonly? boolean
---@field size? integer|string

---@class sandbox.Stdin
---@field from string

---@class sandbox.User
---@field uid integer
---@field gid? integer
---@field groups? integer[]

---@class sandbox.LimitReport
---@field requested number? what was asked for
---@field enforced_by string? who holds it; nil: nobody
---@field hit boolean? nil: it cannot be known

---@class sandbox.Runtime
---@field runsc string
---@field platform string
---@field rootless boolean
---@field cgroup string "v1", "v2" or "none"
---@field cgroup_reason string? why there is none, and how to mend it

---@class sandbox.NetworkReport
---@field connections integer that were allowed
---@field refused integer
---@field bytes_in integer to the guest
---@field bytes_out integer
---@field exceeded integer refused because there were as many as may be
---@field held number seconds for which bytes had to wait for their bandwidth
---@field lost integer events that are not told
---@field events sandbox.NetworkEvent[]
---@field failed string? why the network ended before the run

---@class sandbox.NetworkEvent
---@field at number seconds since 1970
---@field host string? the name that was asked for
---@field address string?
---@field port integer? nil: a question for a name
---@field allowed boolean
---@field reason string? why not
---@field bytes_in integer
---@field bytes_out integer

---@class sandbox.FileInfo
---@field mode string
---@field size integer

---@class sandbox.Version
---@field sandbox string
---@field core string
---@field runsc string
---@field path string
---@field platform string
---@field rootless boolean
---@field state_dir string

---@class sandbox.Metrics
---@field started integer
---@field active integer runs that are going on
---@field waiting integer runs that wait for a turn
---@field runs table<string, integer> by status
---@field errors table<string, integer> by code
---@field histograms table<string, table>

---@class sandbox.Doctor
---@field ok boolean runs work here
---@field checks { name: string, status: string, text: string, remedy: string? }[]

---@class sandbox.BoxStats
---@field peak_memory integer bytes
---@field cpu_time number? seconds
---@field processes integer
---@field programs integer started in it

---@class sandbox.PoolStats
---@field ready integer
---@field booting integer
---@field leased integer
---@field waiting integer
---@field booted integer
---@field served integer
---@field destroyed integer
---@field failures integer
---@field waits integer calls that had to wait
---@field waited number seconds, together

---@class sandbox.Image
---@field digest string of its manifest
---@field references string[] the names that stand for it
---@field bytes integer on the disk
---@field files integer
---@field layers integer
---@field devices integer device nodes, which were left out
---@field last_used number seconds since 1970
---@field rootfs string its root on this host
---@field key string its name below image_dir

---@class sandbox.Volume
---@field name string
---@field path string on this host
---@field size integer? bytes; nil: it has none
---@field last_used number seconds since 1970

---@class sandbox.FleetWorker
---@field name string
---@field slots integer
---@field busy integer
---@field free_memory integer bytes
---@field has string[] what a job may need
---@field draining boolean
---@field heard number seconds since it was heard of

---@class sandbox.FleetStats
---@field queue string
---@field queued integer
---@field running integer
---@field age number seconds for which the first has waited
---@field dead integer given up
---@field slots integer of all workers
---@field busy integer
---@field workers sandbox.FleetWorker[]
---@field needs table<string, { queued: integer, running: integer, age: number }> by what jobs need
---@field counts table<string, integer> since the queue began

---@class sandbox.Snapshot
---@field bytes integer on the disk
---@field memory boolean whether what ran is in it
---@field trees { path: string, bytes: integer }[] the directories that are in it

---@class sandbox.Process
---@field pid integer
---@field ppid integer
---@field uid integer
---@field command string
---@field threads integer

---@class sandbox.KeptBox
---@field id string
---@field state string
---@field seconds number since its start
---@field keep number
---@field hosts integer that are attached to it
---@field programs string[] names, or ids, of its detached programs at work

---@class sandbox.Program
---@field name string?
---@field id string
---@field state "starting"|"running"|"ended"
---@field argv string[]
---@field pty boolean
---@field seconds number since its start
---@field first integer offset of the oldest byte that is kept
---@field written integer offset behind the last
---@field readers integer jobs that there are of it

---@class sandbox.DirectoryEntry
---@field name string
---@field type string
---@field mode string
---@field size integer
---@field target? string
---@field mtime? number

---@class sandbox.Options
---@field stdin? string|fun():string?|sandbox.Stdin fed to the guest, then closed; a guest that never reads it delays nothing. `spawn` leaves it open for `job:write` when it is not given
---@field files? table<string, string|sandbox.File> put in place before the program starts: relative names under `cwd`, absolute names anywhere that is writable (outside `/work` and `/tmp` with `readonly = false`, else it is `bad_rootfs`); missing directories are made; `from` names a host file to copy. Together at most `limits.disk`, else `limits.memory`, checked before the start. `mode` is an octal string, default `"666"`; a number raises, for Lua has no octal
---@field collect? string[]|sandbox.Collect regular files read back after the end, in every status, as `result.files`; `into` writes them below a host directory instead. Links, FIFOs, devices are never followed or opened. `**` stands for any number of directories. Not for `spawn`, nor with `bundle`
---@field env? table<string, string|false> merged over the default, `false` removes one; the host's environment is never inherited
---@field cwd? string must exist in the guest: if not, a start error that says so
---@field user? string|integer|sandbox.User identity inside the guest; as root it is host uid `map_base` + uid, so a guest that is uid 0 is nobody on the host
---@field capabilities? string[] all five OCI sets are written. Where none are given, `user = 0` with `readonly = false` has CHOWN, DAC_OVERRIDE, FOWNER and FSETID, to write what root may, and with `limits.pids = false` SETUID and SETGID, which `su` and `apt-get` with an account `_apt` need (where `disk` is set as well, that needs runsc of release-20250611.0 or later with `rootfs = "host"` and, as an ordinary user, with a directory of somebody else's: with earlier ones files that are not the guest's stay as they are; one's own takes no owner but root there). For another uid they need a runsc that knows ambient ones, else `not_supported`: the builds of 2022 and 2024 do not. Those that undo a limit (SYS_ADMIN, SYS_RESOURCE, SETUID against `pids`) are `limit_unavailable` while that limit is on
---@field user_namespaces? boolean whether programs may make user namespaces of their own. There each is root: it leaves `pids` behind and mounts what `disk` does not count, so with those it is `limit_unavailable`
---@field init? boolean a first process of ours beside the program, as containers' `--init`: it reaps what the program orphans, which else is a zombie that counts in `pids` until the end. Boxes and pools have it always, and so has a run with `collect`; it makes a run slower by a sixth or so, which `init = false` spares where nothing is orphaned. `sandbox run` at the shell, whose stdin is a stream, has it with `--init` only, which reads all of stdin first. Not for `spawn`, nor with `bundle`
---@field rootfs? string `"host"`: the host's `/usr /bin /sbin /lib*` and what programs keep in `/etc`, without what is the machine's own (accounts, keys, services; `sandbox doctor` lists what is left), all read-only; nothing else of the host. `/etc/passwd` has `user`, called `sandbox`, with `HOME` as its home, root and nobody
---@field image? string the guest's root, in place of `rootfs`: fetched by skopeo and unpacked by umoci once, then kept in `image_dir`. See [Images](#images)
---@field image_defaults? boolean whether the image's Env, WorkingDir and User, and Entrypoint with Cmd where no program is given, stand in for what is not given
---@field readonly? boolean false gives the guest a private, throw-away writable layer over the whole rootfs; the host directory is never changed. As root, with `user = 0`, what is root's in a directory given as `rootfs` (not `/`) is the guest's root's there, to read and to write. `/work` and `/tmp` are writable in both cases, and gone afterwards
---@field mounts? sandbox.Mount[] binds are read-only unless asked; `nosuid,nodev` always. A writable one is written as the mapped user as root; as a user it needs `user = 0`, which is yourself, else `not_supported`. See [Mounts](#mounts)
---@field network? "none"|"host"|"sandbox"|sandbox.Network none: loopback only. host: the host's own stack, its 127.0.0.1 services included; needs runsc of release-20230920.0 or later. sandbox, or a table: gVisor's own stack, see [Network](#network)
---@field on_network? fun(event:sandbox.NetworkEvent) called as the guest connects, or is refused; of a program in a box: as the box does while it runs
---@field hostname? string the guest's host name
---@field stderr? "stdout" merges the two in the guest, in the order of writing
---@field pty? boolean|sandbox.Terminal a terminal of the program's own, made inside: what it shows is stdout, `job:write` types, `job:close_stdin` types ^D, `job:resize(rows, cols)` makes it another size, `job:kill("HUP")` hangs up. See [Terminals](#terminals)
---@field limits? sandbox.Limits what the run may use
---@field on_stdout? fun(chunk:string):boolean? called as output arrives; returning `false` kills the run (`killed`); an error in it kills the run and is raised again after clean-up
---@field on_stderr? fun(chunk:string):boolean? the same for stderr
---@field on_exit? fun(result:sandbox.Result?, message:string?, code:string?) for `spawn` with no coroutine at all: called once, at the end
---@field bundle? string run this OCI bundle as it stands, under the same limits, with the same result; excludes the keys that make a spec. See [Bundles](#bundles) for what is taken of it
---@field spec? fun(spec:table):table? last word on the OCI spec table before it is encoded, of each program in a box as well: of what it says there only the process counts, for the rest was decided at the start, where the program is `true`. What it gives is read as a bundle's is: see [Bundles](#bundles)
---@field [integer] string the program and its arguments

---@class sandbox.ProgramOptions
---@field stdin? string|fun():string?|sandbox.Stdin fed to the guest, then closed; a guest that never reads it delays nothing. `spawn` leaves it open for `job:write` when it is not given
---@field files? table<string, string|sandbox.File> put in place before the program starts: relative names under `cwd`, absolute names anywhere that is writable (outside `/work` and `/tmp` with `readonly = false`, else it is `bad_rootfs`); missing directories are made; `from` names a host file to copy. Together at most `limits.disk`, else `limits.memory`, checked before the start. `mode` is an octal string, default `"666"`; a number raises, for Lua has no octal
---@field collect? string[]|sandbox.Collect regular files read back after the end, in every status, as `result.files`; `into` writes them below a host directory instead. Links, FIFOs, devices are never followed or opened. `**` stands for any number of directories. Not for `spawn`, nor with `bundle`
---@field env? table<string, string|false> merged over the default, `false` removes one; the host's environment is never inherited
---@field cwd? string must exist in the guest: if not, a start error that says so
---@field user? string|integer|sandbox.User identity inside the guest; as root it is host uid `map_base` + uid, so a guest that is uid 0 is nobody on the host
---@field on_network? fun(event:sandbox.NetworkEvent) called as the guest connects, or is refused; of a program in a box: as the box does while it runs
---@field stderr? "stdout" merges the two in the guest, in the order of writing
---@field pty? boolean|sandbox.Terminal a terminal of the program's own, made inside: what it shows is stdout, `job:write` types, `job:close_stdin` types ^D, `job:resize(rows, cols)` makes it another size, `job:kill("HUP")` hangs up. See [Terminals](#terminals)
---@field detach? boolean for `box:spawn`: the program goes on when its job is closed, or its request ends, as long as the box does. See [Programs that stay](#programs-that-stay)
---@field name? string with `detach`: what `box:attach` finds it by; one program of a name at a time, else it is `busy`
---@field limits? sandbox.Limits what the run may use
---@field on_stdout? fun(chunk:string):boolean? called as output arrives; returning `false` kills the run (`killed`); an error in it kills the run and is raised again after clean-up
---@field on_stderr? fun(chunk:string):boolean? the same for stderr
---@field on_exit? fun(result:sandbox.Result?, message:string?, code:string?) for `spawn` with no coroutine at all: called once, at the end
---@field [integer] string the program and its arguments

---@class sandbox.StartOptions
---@field env? table<string, string|false> merged over the default, `false` removes one; the host's environment is never inherited
---@field cwd? string must exist in the guest: if not, a start error that says so
---@field user? string|integer|sandbox.User identity inside the guest; as root it is host uid `map_base` + uid, so a guest that is uid 0 is nobody on the host
---@field capabilities? string[] all five OCI sets are written. Where none are given, `user = 0` with `readonly = false` has CHOWN, DAC_OVERRIDE, FOWNER and FSETID, to write what root may, and with `limits.pids = false` SETUID and SETGID, which `su` and `apt-get` with an account `_apt` need (where `disk` is set as well, that needs runsc of release-20250611.0 or later with `rootfs = "host"` and, as an ordinary user, with a directory of somebody else's: with earlier ones files that are not the guest's stay as they are; one's own takes no owner but root there). For another uid they need a runsc that knows ambient ones, else `not_supported`: the builds of 2022 and 2024 do not. Those that undo a limit (SYS_ADMIN, SYS_RESOURCE, SETUID against `pids`) are `limit_unavailable` while that limit is on
---@field user_namespaces? boolean whether programs may make user namespaces of their own. There each is root: it leaves `pids` behind and mounts what `disk` does not count, so with those it is `limit_unavailable`
---@field rootfs? string `"host"`: the host's `/usr /bin /sbin /lib*` and what programs keep in `/etc`, without what is the machine's own (accounts, keys, services; `sandbox doctor` lists what is left), all read-only; nothing else of the host. `/etc/passwd` has `user`, called `sandbox`, with `HOME` as its home, root and nobody
---@field image? string the guest's root, in place of `rootfs`: fetched by skopeo and unpacked by umoci once, then kept in `image_dir`. See [Images](#images)
---@field image_defaults? boolean whether the image's Env, WorkingDir and User, and Entrypoint with Cmd where no program is given, stand in for what is not given
---@field readonly? boolean false gives the guest a private, throw-away writable layer over the whole rootfs; the host directory is never changed. As root, with `user = 0`, what is root's in a directory given as `rootfs` (not `/`) is the guest's root's there, to read and to write. `/work` and `/tmp` are writable in both cases, and gone afterwards
---@field mounts? sandbox.Mount[] binds are read-only unless asked; `nosuid,nodev` always. A writable one is written as the mapped user as root; as a user it needs `user = 0`, which is yourself, else `not_supported`. See [Mounts](#mounts)
---@field network? "none"|"host"|"sandbox"|sandbox.Network none: loopback only. host: the host's own stack, its 127.0.0.1 services included; needs runsc of release-20230920.0 or later. sandbox, or a table: gVisor's own stack, see [Network](#network)
---@field on_network? fun(event:sandbox.NetworkEvent) called as the guest connects, or is refused; of a program in a box: as the box does while it runs
---@field hostname? string the guest's host name
---@field limits? sandbox.Limits what the run may use
---@field spec? fun(spec:table):table? last word on the OCI spec table before it is encoded, of each program in a box as well: of what it says there only the process counts, for the rest was decided at the start, where the program is `true`. What it gives is read as a bundle's is: see [Bundles](#bundles)
---@field lifetime? number seconds after which the box ends
---@field idle_timeout? number seconds without a program after which the box ends
---@field keep? number seconds that the box goes on when nobody is attached to it any more, its host's end included: `sandbox.attach(box.id)` comes back. Not with `spec`. See [Boxes that stay](#boxes-that-stay)

---@class sandbox.PoolOptions
---@field env? table<string, string|false> merged over the default, `false` removes one; the host's environment is never inherited
---@field cwd? string must exist in the guest: if not, a start error that says so
---@field user? string|integer|sandbox.User identity inside the guest; as root it is host uid `map_base` + uid, so a guest that is uid 0 is nobody on the host
---@field capabilities? string[] all five OCI sets are written. Where none are given, `user = 0` with `readonly = false` has CHOWN, DAC_OVERRIDE, FOWNER and FSETID, to write what root may, and with `limits.pids = false` SETUID and SETGID, which `su` and `apt-get` with an account `_apt` need (where `disk` is set as well, that needs runsc of release-20250611.0 or later with `rootfs = "host"` and, as an ordinary user, with a directory of somebody else's: with earlier ones files that are not the guest's stay as they are; one's own takes no owner but root there). For another uid they need a runsc that knows ambient ones, else `not_supported`: the builds of 2022 and 2024 do not. Those that undo a limit (SYS_ADMIN, SYS_RESOURCE, SETUID against `pids`) are `limit_unavailable` while that limit is on
---@field user_namespaces? boolean whether programs may make user namespaces of their own. There each is root: it leaves `pids` behind and mounts what `disk` does not count, so with those it is `limit_unavailable`
---@field rootfs? string `"host"`: the host's `/usr /bin /sbin /lib*` and what programs keep in `/etc`, without what is the machine's own (accounts, keys, services; `sandbox doctor` lists what is left), all read-only; nothing else of the host. `/etc/passwd` has `user`, called `sandbox`, with `HOME` as its home, root and nobody
---@field image? string the guest's root, in place of `rootfs`: fetched by skopeo and unpacked by umoci once, then kept in `image_dir`. See [Images](#images)
---@field image_defaults? boolean whether the image's Env, WorkingDir and User, and Entrypoint with Cmd where no program is given, stand in for what is not given
---@field readonly? boolean false gives the guest a private, throw-away writable layer over the whole rootfs; the host directory is never changed. As root, with `user = 0`, what is root's in a directory given as `rootfs` (not `/`) is the guest's root's there, to read and to write. `/work` and `/tmp` are writable in both cases, and gone afterwards
---@field mounts? sandbox.Mount[] binds are read-only unless asked; `nosuid,nodev` always. A writable one is written as the mapped user as root; as a user it needs `user = 0`, which is yourself, else `not_supported`. See [Mounts](#mounts)
---@field network? "none"|"host"|"sandbox"|sandbox.Network none: loopback only. host: the host's own stack, its 127.0.0.1 services included; needs runsc of release-20230920.0 or later. sandbox, or a table: gVisor's own stack, see [Network](#network)
---@field hostname? string the guest's host name
---@field limits? sandbox.Limits what the run may use
---@field spec? fun(spec:table):table? last word on the OCI spec table before it is encoded, of each program in a box as well: of what it says there only the process counts, for the rest was decided at the start, where the program is `true`. What it gives is read as a bundle's is: see [Bundles](#bundles)
---@field lifetime? number seconds after which the box ends
---@field size? integer how many are kept: `min` and `max` in one
---@field min? integer how many are kept when nothing is asked for
---@field max? integer how many there are at most, at work and ready
---@field max_uses? integer 1: each serves one program, and is destroyed. More: files and processes that one program leaves are there for the next
---@field warm_up? string[] a program and its arguments, run once in each before it counts as ready
---@field prepared? string[] a program that is started in each ahead of time: `sandbox.prepared.python{ "json" }` and its like
---@field queue? boolean|integer more wait their turn, in order; `false` or a length: beyond it `busy`
---@field queue_timeout? number seconds of waiting after which it is `busy`
---@field idle_timeout? number seconds without a program after which only `min` are kept

---@class sandbox.Lease
---@field files? table<string, string|sandbox.File> put in place before the program starts: relative names under `cwd`, absolute names anywhere that is writable (outside `/work` and `/tmp` with `readonly = false`, else it is `bad_rootfs`); missing directories are made; `from` names a host file to copy. Together at most `limits.disk`, else `limits.memory`, checked before the start. `mode` is an octal string, default `"666"`; a number raises, for Lua has no octal
---@field collect? string[]|sandbox.Collect regular files read back after the end, in every status, as `result.files`; `into` writes them below a host directory instead. Links, FIFOs, devices are never followed or opened. `**` stands for any number of directories. Not for `spawn`, nor with `bundle`
---@field on_network? fun(event:sandbox.NetworkEvent) called as the guest connects, or is refused; of a program in a box: as the box does while it runs
---@field limits? sandbox.Limits what the run may use
---@field on_stdout? fun(chunk:string):boolean? called as output arrives; returning `false` kills the run (`killed`); an error in it kills the run and is raised again after clean-up
---@field on_stderr? fun(chunk:string):boolean? the same for stderr
---@field code? string what the prepared program is to run
---@field argv? string[] its arguments
---@field stdin? string its stdin, after which that ends

---@class sandbox.InstanceOptions
---@field files? table<string, string|sandbox.File> put in place before the program starts: relative names under `cwd`, absolute names anywhere that is writable (outside `/work` and `/tmp` with `readonly = false`, else it is `bad_rootfs`); missing directories are made; `from` names a host file to copy. Together at most `limits.disk`, else `limits.memory`, checked before the start. `mode` is an octal string, default `"666"`; a number raises, for Lua has no octal
---@field collect? string[]|sandbox.Collect regular files read back after the end, in every status, as `result.files`; `into` writes them below a host directory instead. Links, FIFOs, devices are never followed or opened. `**` stands for any number of directories. Not for `spawn`, nor with `bundle`
---@field env? table<string, string|false> merged over the default, `false` removes one; the host's environment is never inherited
---@field cwd? string must exist in the guest: if not, a start error that says so
---@field user? string|integer|sandbox.User identity inside the guest; as root it is host uid `map_base` + uid, so a guest that is uid 0 is nobody on the host
---@field capabilities? string[] all five OCI sets are written. Where none are given, `user = 0` with `readonly = false` has CHOWN, DAC_OVERRIDE, FOWNER and FSETID, to write what root may, and with `limits.pids = false` SETUID and SETGID, which `su` and `apt-get` with an account `_apt` need (where `disk` is set as well, that needs runsc of release-20250611.0 or later with `rootfs = "host"` and, as an ordinary user, with a directory of somebody else's: with earlier ones files that are not the guest's stay as they are; one's own takes no owner but root there). For another uid they need a runsc that knows ambient ones, else `not_supported`: the builds of 2022 and 2024 do not. Those that undo a limit (SYS_ADMIN, SYS_RESOURCE, SETUID against `pids`) are `limit_unavailable` while that limit is on
---@field user_namespaces? boolean whether programs may make user namespaces of their own. There each is root: it leaves `pids` behind and mounts what `disk` does not count, so with those it is `limit_unavailable`
---@field rootfs? string `"host"`: the host's `/usr /bin /sbin /lib*` and what programs keep in `/etc`, without what is the machine's own (accounts, keys, services; `sandbox doctor` lists what is left), all read-only; nothing else of the host. `/etc/passwd` has `user`, called `sandbox`, with `HOME` as its home, root and nobody
---@field image? string the guest's root, in place of `rootfs`: fetched by skopeo and unpacked by umoci once, then kept in `image_dir`. See [Images](#images)
---@field image_defaults? boolean whether the image's Env, WorkingDir and User, and Entrypoint with Cmd where no program is given, stand in for what is not given
---@field readonly? boolean false gives the guest a private, throw-away writable layer over the whole rootfs; the host directory is never changed. As root, with `user = 0`, what is root's in a directory given as `rootfs` (not `/`) is the guest's root's there, to read and to write. `/work` and `/tmp` are writable in both cases, and gone afterwards
---@field mounts? sandbox.Mount[] binds are read-only unless asked; `nosuid,nodev` always. A writable one is written as the mapped user as root; as a user it needs `user = 0`, which is yourself, else `not_supported`. See [Mounts](#mounts)
---@field network? "none"|"host"|"sandbox"|sandbox.Network none: loopback only. host: the host's own stack, its 127.0.0.1 services included; needs runsc of release-20230920.0 or later. sandbox, or a table: gVisor's own stack, see [Network](#network)
---@field on_network? fun(event:sandbox.NetworkEvent) called as the guest connects, or is refused; of a program in a box: as the box does while it runs
---@field hostname? string the guest's host name
---@field stderr? "stdout" merges the two in the guest, in the order of writing
---@field limits? sandbox.Limits what the run may use
---@field on_stdout? fun(chunk:string):boolean? called as output arrives; returning `false` kills the run (`killed`); an error in it kills the run and is raised again after clean-up
---@field on_stderr? fun(chunk:string):boolean? the same for stderr
---@field spec? fun(spec:table):table? last word on the OCI spec table before it is encoded, of each program in a box as well: of what it says there only the process counts, for the rest was decided at the start, where the program is `true`. What it gives is read as a bundle's is: see [Bundles](#bundles)
---@field runsc? string path of the binary
---@field platform? "auto"|"systrap"|"ptrace"|"kvm" auto takes the first of systrap and ptrace that really boots within its time-out, and remembers; for boxes and pools on releases from the end of 2023 to the middle of 2025 ptrace comes first, on which programs end sooner and a sandbox that waits takes no processor time
---@field boot_timeout? number seconds a boot may take
---@field state_dir? string where runs live: 0700, as root 0711, for the mapped gofer must pass
---@field rootless? boolean|"auto" whether runsc runs as an ordinary user
---@field filesystems? table<string, string|sandbox.Filesystem> names for directories of this host: the `source` of a mount may be such a tag, also in what a client or a fleet's job asks for. See [Mounts](#mounts)
---@field volume_dir? string where volumes are kept: 0700, this user's alone. What is below `/run` is gone when the machine starts anew
---@field image_dir? string where images are kept: 0700, one user's alone, shared by all of that one's processes
---@field max_image_bytes? integer|string a larger image, packed or unpacked, is refused before anything of it is unpacked
---@field max_image_files? integer the same for the entries of all its layers together
---@field pull_timeout? number seconds that it may take to fetch and unpack an image
---@field map_base? integer as root: the first of the 65536 ids of the host that stand for the guest's. Whoever has one of them (/etc/subuid, /etc/subgid, /etc/passwd, /etc/group) can kill a sandbox
---@field cgroup_parent? string where sandbox cgroups are made, v1 or v2
---@field control? "auto"|"socket"|"runsc" how programs are started in boxes: over the sentry's control socket, or by `runsc exec`, 20 ms slower. auto: the socket, where it answers as is known here
---@field max_concurrent? integer runs at once in this instance, so per nginx worker
---@field queue? boolean|integer more wait their turn, in order; `false` or a length: beyond it `busy`. Waiting never counts towards `timeout`
---@field queue_timeout? number seconds of waiting after which it is `busy`
---@field logger? fun(level:string, message:string, fields:table) its errors never break a run
---@field runsc_flags? string[] extra global flags, for experts
---@field wait? fun(fd:integer, events:string, seconds:number?):boolean how to wait in a scheduler that is not known here

---@class sandbox.StagesOptions : sandbox.Options
---@field max_bytes? integer|string how much of `/work` may go from one stage to the next: it is held in memory meanwhile
---@field max_files? integer how many files, directories and links of `/work` may

---@class sandbox.Stage : sandbox.Options
---@field name? string the name of the stage, and of its result

---@class sandbox.InteractOptions
---@field limits? sandbox.Limits for each that has none of its own
---@field transcript? integer|string|false how much of what both say is kept
---@field grace? number seconds that one has for its own end when the other has ended; its stdin has ended then

---@class sandbox.ReadFileOptions
---@field max? integer|string a larger file is `too_big`

---@class sandbox.WriteFileOptions
---@field mode? string permissions
---@field from? string a host file to copy, in place of a content

---@class sandbox.OpenWriteOptions
---@field mode? string permissions

---@class sandbox.ListOptions
---@field depth? integer of directories below one another that are listed

---@class sandbox.GetOptions
---@field max_bytes? integer|string of all files together
---@field max_files? integer how many files

---@class sandbox.AttachOptions
---@field on_stdout? fun(chunk:string):boolean? called as output arrives; returning `false` kills the run (`killed`); an error in it kills the run and is raised again after clean-up
---@field on_stderr? fun(chunk:string):boolean? the same for stderr
---@field from? "start"|"now"|integer where the output begins: with what is kept, with what comes from now on, or at `job:offset()` of a job before
---@field write? boolean whether this job takes over the program's stdin, and a terminal's size; false leaves it to the one before

---@class sandbox.SnapshotOptions
---@field max_bytes? integer|string of all files together; more is `too_big`
---@field memory? boolean false: the files alone, whatever runs. true is `not_supported` in this version

---@class sandbox.CheckOptions
---@field client? boolean what names anything of this host is refused: paths, functions, mounts of other than a tag, `network = "host"`

---@class sandbox.PullOptions
---@field on_progress? fun(event:table):boolean? called as it goes on, at most four times a second; giving `false` cancels it
---@field timeout? number seconds that it may take
---@field wait? boolean false gives the pull at once: `pull:wait([seconds])`, `pull:cancel()`, `pull:close()`

---@class sandbox.PruneOptions
---@field max_bytes? integer|string what may be left, of those that are kept
---@field unused_for? number what was not used for so many seconds goes

---@class sandbox.FleetOptions
---@field redis? string where the broker is: Redis from 6.2 on, or Valkey. The name of a host is looked up while everything waits: give its address in an event loop
---@field queue? string which queue: letters, digits, `_`, `.`, `-`, at most 64. All keys begin with it, in braces
---@field max_jobs? integer so many may wait and run; beyond that `submit` is `busy`
---@field key_ttl? integer seconds for which the `key` of a job is known, from its submission on
---@field broker_timeout? number seconds for which a broker that cannot be reached is tried again; then it is `broker_lost`

---@class sandbox.SubmitOptions
---@field key? string one job for each key: who submits it again has the id of the first, and its answer. At most 256 bytes
---@field note? string what `fleet:find(key)` gives back beside the id, at most 4096 bytes: whoever has the key alone, in another process or on another machine, can go on with the job
---@field needs? string[] what a worker must have to take this job: a language that it found (`python3`, `gcc`), `--has`, or one of its pools, in which it is run then. At most 8

---@class sandbox.Result
---@field ok boolean the program ran, exited with 0 and hit no killing limit
---@field status string `"exited"`, `"signaled"`, `"timed_out"`, `"oom_killed"`, `"cpu_exceeded"`, `"output_exceeded"`, `"killed"`
---@field exit_code integer? number when `status` is `exited`, else nil
---@field signal integer? number when `status` is `signaled`, else nil
---@field signal_name string? `"SEGV"`, with `signal`
---@field message string? one sentence for a person whenever not `ok`: `"killed: 128 MiB of memory used up"`
---@field stdout string? complete up to the output limit, kept in every status; nil when it went to a callback or was read from the job
---@field stderr string? the same
---@field stdout_bytes integer what the guest wrote, also beyond the limit
---@field stderr_bytes integer the same
---@field files table<string, string> always a table, keyed as asked in `collect` (relative to `cwd`, or absolute): what was in the file. Empty with `into`
---@field files_info table<string, sandbox.FileInfo> always a table, with the same keys: `{ mode=, size= }`
---@field files_skipped table<string, string> always a table: why a file was left out: `"missing"`, `"link"`, `"too big"`, …
---@field timed_out boolean
---@field oom_killed boolean
---@field cpu_exceeded boolean
---@field output_exceeded boolean
---@field pids_exceeded boolean? boolean; nil where it cannot be known (with more than 128 KiB of argv and env in `sandbox.run`, or where gVisor lost what it had to tell)
---@field disk_exceeded boolean? boolean; nil where it cannot be known: beside a `tmpfs` mount with a size of its own, as an ordinary user, unless `user = 0`; where `overlay` holds the limit and a program contented itself with a part of a write
---@field stdout_truncated boolean
---@field stderr_truncated boolean
---@field limits table<string, sandbox.LimitReport> `{ memory = { requested=, enforced_by="supervisor", hit=false }, … }` for every limit; who: `supervisor`, `rlimit`, `cgroup1`, `cgroup2`, `affinity`, `tmpfs`, `overlay`, or nil
---@field duration number seconds from the guest's first instruction to its end: the clock of `timeout`
---@field boot_duration number seconds until that first instruction
---@field queue_duration number seconds of waiting for a turn
---@field total_duration number the whole call
---@field cpu_time number? seconds, measured as the limit measures; nil where the machine cannot tell
---@field peak_memory integer? bytes, the same
---@field peak_pids integer? tasks that lived at once, the same
---@field network sandbox.NetworkReport? `{ connections=, refused=, bytes_in=, bytes_out=, exceeded=, held=, lost=, events=, failed= }` where the guest had a network of its own: see [Network](#network)
---@field network_exceeded boolean? whether a connection was refused because there were as many as may be, or bytes had to wait for their bandwidth; nil without a network of its own
---@field id string the run's name
---@field runtime sandbox.Runtime `{ runsc=, platform=, rootless=, cgroup=, cgroup_reason= }`; `runsc` is what the binary says of itself, `"unknown"` for one built without a version; `cgroup_reason` says why there is none and how to mend it

local Result = {}
---@return sandbox.Result
function Result:check() end

---@class sandbox.Transcript
---@field bytes integer all that was said
---@field truncated boolean
---@field [integer] { from: 1|2, at: number, data: string }

---@class sandbox.Stages what comes of sandbox.stages: results by number and by name, too
---@field ok boolean
---@field stage integer the number of the last that ran
---@field last sandbox.Result? its result
---@field message string?
---@field [integer] sandbox.Result
---@field [string] any
local Stages = {}
---@return sandbox.Stages
function Stages:check() end

---@class sandbox.Job
---@field id string
local Job = {}
---@param s string
---@return boolean? ok, string? message, string? code
function Job:write(s) end
---@return boolean?
function Job:close_stdin() end
---Makes its terminal another size.
---@param rows integer
---@param cols integer
---@return boolean? ok, string? message, string? code
function Job:resize(rows, cols) end
---@param stream? "stdout"|"stderr"
---@return string? stream_or_chunk, string? chunk_or_message, string? code
function Job:read(stream) end
---@param stream? "stdout"|"stderr"
---@return fun():string?
function Job:lines(stream) end
---@return fun():string?, string?
function Job:chunks() end
---@param seconds? number
---@return sandbox.Result?, string? message, string? code
function Job:wait(seconds) end
---Waits until nothing is left of it on this machine.
---@param seconds? number
---@return boolean? gone, string? message, string? code
function Job:wait_gone(seconds) end
---@param signal? string|integer
---@return boolean?
function Job:kill(signal) end
function Job:close() end
---@return integer?
function Job:pid() end
---Of a detached program: where in its output the next piece begins.
---@return integer
function Job:offset() end
---@param port integer
---@param seconds? number
---@return sandbox.Stream?, string? message, string? code
function Job:connect(port, seconds) end
---@return integer
function Job:pollfd() end
---@return string?
function Job:events() end
---@return number?
function Job:timeout() end

---@class sandbox.Prepared loaders for `prepared` pools
---@field python fun(modules?: string[]): string[]
---@field lua fun(modules?: string[], interpreter?: string): string[]
---@field node fun(modules?: string[]): string[]
---@field sh fun(): string[]

---@class sandbox.Box
---@field id string
local Box = {}
---@param options sandbox.ProgramOptions
---@return sandbox.Result?, string? message, string? code
function Box:run(options) end
---@param options sandbox.ProgramOptions
---@return sandbox.Job?, string? message, string? code
function Box:spawn(options) end
---@param path string
---@param content string|sandbox.WriteFileOptions
---@param options? sandbox.WriteFileOptions
---@return boolean?, string? message, string? code
function Box:write_file(path, content, options) end
---@param path string
---@param options? sandbox.ReadFileOptions
---@return string?, string? message, string? code
function Box:read_file(path, options) end
---@param path? string|sandbox.ListOptions
---@return sandbox.DirectoryEntry[]?, string? message, string? code
function Box:list(path) end
---@param path string
---@return sandbox.DirectoryEntry?, string? message, string? code
function Box:stat(path) end
---@param path string
---@return boolean?, string? message, string? code
function Box:exists(path) end
---@param path string
---@return boolean?, string? message, string? code
function Box:mkdir(path) end
---@param from string
---@param to string
---@return boolean?, string? message, string? code
function Box:rename(from, to) end
---@param from string
---@param to string
---@return boolean?, string? message, string? code
function Box:copy(from, to) end
---@param from string
---@param path string
---@return boolean?, table|string skipped, string? code
function Box:put(from, path) end
---@param path string
---@param into string
---@param options? sandbox.GetOptions
---@return table<string, table>?, table|string skipped, string? code
function Box:get(path, into, options) end
---@param path string
---@param options? sandbox.OpenWriteOptions
---@return table?, string? message, string? code
function Box:open_write(path, options) end
---@param path string
---@return table?, string? message, string? code
function Box:open_read(path) end
---@param path string
---@return boolean?, string? message, string? code
function Box:remove(path) end
---Its detached programs.
---@return sandbox.Program[]?, string? message, string? code
function Box:programs() end
---@param which string name or id
---@param options? sandbox.AttachOptions
---@return sandbox.Job?, string? message, string? code
function Box:attach(which, options) end
---@return sandbox.BoxStats?, string? message, string? code
function Box:stats() end
---@return sandbox.Process[]?, string? message, string? code
function Box:processes() end
---@param pid integer
---@param signal? string|integer
---@return boolean?, string? message, string? code
function Box:signal(pid, signal) end
---@return boolean?, string? message, string? code
function Box:pause() end
---@return boolean?, string? message, string? code
function Box:resume() end
---@param options sandbox.ProgramOptions
---@return sandbox.Stream?, string? message, string? code
function Box:stream(options) end
---@param port integer
---@param seconds? number
---@return sandbox.Stream?, string? message, string? code
function Box:connect(port, seconds) end
---@param policy sandbox.Network
---@return boolean?, string? message, string? code
function Box:network(policy) end
---@param dir string
---@param options? sandbox.SnapshotOptions
---@return sandbox.Snapshot?, string? message, string? code
function Box:snapshot(dir, options) end
---@param n? integer
---@param options? sandbox.SnapshotOptions
---@return sandbox.Box|sandbox.Box[]|nil copies, string? message, string? code
function Box:fork(n, options) end
---@param grace? number
---@return boolean
function Box:stop(grace) end
function Box:close() end

---@class sandbox.Stream two ways, each with an end of its own
local Stream = {}
---@param n? integer
---@return string?, string? message, string? code
function Stream:read(n) end
---@param bytes string
---@return boolean?, string? message, string? code
function Stream:write(bytes) end
function Stream:close_write() end
function Stream:close() end
---@return integer
function Stream:pollfd() end

---@class sandbox.Pull an image that is being fetched
local Pull = {}
---@param seconds? number
---@return sandbox.Image?, string? message, string? code
function Pull:wait(seconds) end
function Pull:cancel() end
function Pull:close() end
---@return integer
function Pull:pollfd() end
---@return string?
function Pull:events() end

---@class sandbox.Pool
local Pool = {}
---@param options sandbox.ProgramOptions|sandbox.Lease
---@return sandbox.Result?, string? message, string? code
function Pool:run(options) end
---@param options sandbox.Options
---@return sandbox.Job?, string? message, string? code
function Pool:spawn(options) end
---@return sandbox.Box?, string? message, string? code
function Pool:lease() end
---@param seconds? number
---@return boolean?, string? message, string? code
function Pool:ready(seconds) end
---@return sandbox.PoolStats
function Pool:stats() end
function Pool:close() end

---@class sandbox.Fleet
local Fleet = {}
---@param options sandbox.Options
---@param how? sandbox.SubmitOptions
---@return string? id, string? message, string? code
function Fleet:submit(options, how) end
---@param key string
---@return string? id, string? note_or_message, string? code
function Fleet:find(key) end
---@param options sandbox.Options
---@param how? sandbox.SubmitOptions
---@return sandbox.Result?, string? message, string? code
function Fleet:run(options, how) end
---@param id string
---@param seconds? number
---@return sandbox.Result?, string? message, string? code
function Fleet:result(id, seconds) end
---@param id string
---@return boolean?, string? message, string? code
function Fleet:cancel(id) end
---@param id string
---@return sandbox.Follower
function Fleet:follow(id) end
---@return sandbox.FleetStats?, string? message, string? code
function Fleet:stats() end
function Fleet:close() end

---@class sandbox.Follower a job's output while it runs
---@overload fun():string?, string?, integer?
local Follower = {}
---@return string? stream, string? chunk_or_message, integer|string? attempt_or_code
function Follower:read() end
---@return sandbox.Result?, string? message, string? code
function Follower:result() end

---@class sandbox.Task
local Task = {}
---Waits for its end: what it returned, or nil and what it raised.
---@return any ...
function Task:join() end
---Where it failed, for a log.
---@return string?
function Task:traceback() end

---@class sandbox.Instance
local Instance = {}
---@param options sandbox.StartOptions
---@return sandbox.Box?, string? message, string? code
function Instance:start(options) end
---@param dir string
---@param options? sandbox.StartOptions
---@return sandbox.Box?, string? message, string? code
function Instance:restore(dir, options) end
---@param id string `box.id` of a box with `keep`
---@return sandbox.Box?, string? message, string? code
function Instance:attach(id) end
---@return sandbox.KeptBox[]?, string? message, string? code
function Instance:boxes() end
---@param options sandbox.PoolOptions
---@return sandbox.Pool?, string? message, string? code
function Instance:pool(options) end
---@param stages sandbox.StagesOptions a list of sandbox.Stage, and options of all
---@return sandbox.Stages?, string? message, string? code, sandbox.Stages? partial
function Instance:stages(stages) end
---@param first sandbox.Options
---@param second sandbox.Options
---@param options? sandbox.InteractOptions
---@return sandbox.Result? first, sandbox.Result|string second, sandbox.Transcript|string? transcript
function Instance:interact(first, second, options) end
---@return sandbox.Image[]
function Instance:images() end
---@param image string
---@param options? sandbox.PullOptions
---@return sandbox.Image|sandbox.Pull|nil, string? message, string? code
function Instance:pull(image, options) end
---@param image string
---@return { images: integer, bytes: integer }?, string? message, string? code
function Instance:remove_image(image) end
---@return sandbox.Volume[]?, string? message, string? code
function Instance:volumes() end
---@param name string
---@return boolean?, string? message, string? code
function Instance:remove_volume(name) end
---@param options? sandbox.PruneOptions
---@return { images: integer, bytes: integer }?, string? message, string? code
function Instance:prune_images(options) end
---@param source string
---@param path string
---@return boolean?, string? message, string? code
function Instance:pack_image(source, path) end
---@param image sandbox.Image
---@return { argv: string[], env: table<string, string>, cwd: string?, user: sandbox.User? }?, string? message
function Instance:image_options(image) end
---@param options sandbox.Options
---@return sandbox.Result?, string? message, string? code
function Instance:run(options) end
---@param options sandbox.Options
---@return sandbox.Job?, string? message, string? code
function Instance:spawn(options) end
---@param options sandbox.Options
---@return table?, string? message, string? code
function Instance:spec(options) end
---@param options sandbox.Options
---@param how? sandbox.CheckOptions
---@return boolean?, string? message, string? code
function Instance:check(options, how) end
---@param limits? sandbox.Limits
---@return { file: string, value: string, version: string }[]
function Instance:cgroup_entries(limits) end
---@return sandbox.Version?, string? message, string? code
function Instance:version() end
---@return integer
function Instance:active() end
---@return integer?, string? message, string? code
function Instance:cleanup_stale() end
---@return sandbox.Metrics
function Instance:metrics() end
---@return sandbox.Doctor
function Instance:doctor() end
---@param grace? number
---@return boolean
function Instance:shutdown(grace) end
function Instance:close() end

---@class sandbox
---@field _VERSION string
---@field prepared sandbox.Prepared
local sandbox = {}
---@param options sandbox.StartOptions
---@return sandbox.Box?, string? message, string? code
function sandbox.start(options) end
---@param dir string
---@param options? sandbox.StartOptions
---@return sandbox.Box?, string? message, string? code
function sandbox.restore(dir, options) end
---@param id string `box.id` of a box with `keep`
---@return sandbox.Box?, string? message, string? code
function sandbox.attach(id) end
---@return sandbox.KeptBox[]?, string? message, string? code
function sandbox.boxes() end
---@param options sandbox.PoolOptions
---@return sandbox.Pool?, string? message, string? code
function sandbox.pool(options) end
---@param stages sandbox.StagesOptions a list of sandbox.Stage, and options of all
---@return sandbox.Stages?, string? message, string? code, sandbox.Stages? partial
function sandbox.stages(stages) end
---@param first sandbox.Options
---@param second sandbox.Options
---@param options? sandbox.InteractOptions
---@return sandbox.Result? first, sandbox.Result|string second, sandbox.Transcript|string? transcript
function sandbox.interact(first, second, options) end
---@param options? sandbox.InstanceOptions
---@return sandbox.Instance
function sandbox.new(options) end
---@return sandbox.Image[]
function sandbox.images() end
---@param image string
---@param options? sandbox.PullOptions
---@return sandbox.Image|sandbox.Pull|nil, string? message, string? code
function sandbox.pull(image, options) end
---@param image string
---@return { images: integer, bytes: integer }?, string? message, string? code
function sandbox.remove_image(image) end
---@return sandbox.Volume[]?, string? message, string? code
function sandbox.volumes() end
---@param name string
---@return boolean?, string? message, string? code
function sandbox.remove_volume(name) end
---@param options? sandbox.PruneOptions
---@return { images: integer, bytes: integer }?, string? message, string? code
function sandbox.prune_images(options) end
---@param source string
---@param path string
---@return boolean?, string? message, string? code
function sandbox.pack_image(source, path) end
---@param image sandbox.Image
---@return { argv: string[], env: table<string, string>, cwd: string?, user: sandbox.User? }?, string? message
function sandbox.image_options(image) end
---@param options sandbox.Options
---@return sandbox.Result?, string? message, string? code
function sandbox.run(options) end
---@param options sandbox.Options
---@return sandbox.Job?, string? message, string? code
function sandbox.spawn(options) end
---@param options sandbox.Options
---@return table?, string? message, string? code
function sandbox.spec(options) end
---@param options sandbox.Options
---@param how? sandbox.CheckOptions
---@return boolean?, string? message, string? code
function sandbox.check(options, how) end
---@param limits? sandbox.Limits
---@return { file: string, value: string, version: string }[]
function sandbox.cgroup_entries(limits) end
---@return sandbox.Version?, string? message, string? code
function sandbox.version() end
---@return integer
function sandbox.active() end
---@return integer?, string? message, string? code
function sandbox.cleanup_stale() end
---@return sandbox.Metrics
function sandbox.metrics() end
---@return sandbox.Doctor
function sandbox.doctor() end
---@param grace? number
---@return boolean
function sandbox.shutdown(grace) end
function sandbox.close() end
---@param options? sandbox.FleetOptions
---@return sandbox.Fleet
function sandbox.fleet(options) end
---@generic T
---@param f fun():T
---@return T
function sandbox.loop(f) end
---@param f fun(...)
---@return sandbox.Task
function sandbox.go(f, ...) end
---@param seconds number
function sandbox.sleep(seconds) end
---@param list any[]
---@param n integer
---@param f fun(item:any, index:integer):any
---@return any[] results, table<integer, { ok: false, message: string, code: string? }> failed those alone that gave none, by index
function sandbox.map(list, n, f) end

return sandbox
