# SPDX-License-Identifier: MIT
# The usual knobs. LUA_INCDIR picks one Lua (LuaRocks sets it); without it every Lua whose headers are found is built for.
CC          ?= gcc
CFLAGS      ?= -O2 -g
LDFLAGS     ?=
LIBFLAG     ?= -shared
PKG_CONFIG  ?= pkg-config
PREFIX      ?= /usr/local
BINDIR      ?= $(PREFIX)/bin
MANDIR      ?= $(abspath $(BINDIR)/..)/share/man
DESTDIR     ?=
BUILD       ?= build
LUA         ?= lua5.4

SBX_CFLAGS := -std=gnu11 -D_GNU_SOURCE -fPIC -fvisibility=hidden -ffunction-sections -fstack-protector-strong -MMD -MP \
  -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wwrite-strings -Wvla -Wpointer-arith -Wundef -Wformat=2
# What not every compiler and processor has: jumps that land only where they may, and no stack that grows past its guard.
SBX_CFLAGS += $(foreach f,-fcf-protection=full -mbranch-protection=standard -fstack-clash-protection,$(shell $(CC) -Werror $(f) -x c -c /dev/null -o /dev/null 2>/dev/null && echo $(f)))
ifeq ($(DEV),1)
SBX_CFLAGS += -Werror
endif
# A sanitizer cannot live in a static program: that build is dynamic, and never installed.
ifeq ($(SAN),1)
SAN_FLAGS  := -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
SBX_CFLAGS += $(SAN_FLAGS)
SUP_STATIC :=
else
# glibc's fortification needs an optimising compiler, and warns without one.
SBX_CFLAGS += $(if $(filter -O0,$(CFLAGS)),,-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2)
SUP_STATIC := -static-pie
endif

# Two binaries serve all: the 5.1 ABI (LuaJIT too) and the 5.4 ABI. No liblua is linked: the host brings it.
TREE_ENV := LUA_PATH='lua/?.lua;lua/?/init.lua;;' LUA_CPATH='build/5.4/?.so;;'
ifdef LUA_INCDIR
LUA_ABI  := $(filter 5.1 5.2 5.3 5.4,$(shell sed -n 's/^.define LUA_VERSION_NUM[^0-9]*\([0-9]\)0\([0-9]\).*/\1.\2/p' $(LUA_INCDIR)/lua.h))
ABIS     := $(LUA_ABI)
else
FLAGS_5.4 := $(shell $(PKG_CONFIG) --cflags-only-I lua5.4 2>/dev/null || $(PKG_CONFIG) --cflags-only-I lua-5.4 2>/dev/null)
FLAGS_5.1 := $(shell $(PKG_CONFIG) --cflags-only-I lua5.1 2>/dev/null || $(PKG_CONFIG) --cflags-only-I luajit 2>/dev/null)
ABIS      := $(if $(FLAGS_5.4),5.4) $(if $(FLAGS_5.1),5.1)
endif
LIBDIR ?=
LUADIR ?=
# The installed command is run by a Lua that it was built for.
COMMAND_LUA ?= $(firstword $(foreach l,lua$(firstword $(ABIS)) $(if $(filter 5.1,$(firstword $(ABIS))),luajit),$(shell command -v $(l) >/dev/null && echo $(l))) lua)

# A folder a layer (src/README.md); each is compiled with the headers that it may use, and no others.
SBX_SRC  := $(wildcard src/shared/sbx_*.c)
LUA_SRC  := $(wildcard src/module/lua_*.c)
SUP_SRC  := $(wildcard src/supervisor/sup_*.c)
GUEST_SRC := $(wildcard src/guest/guest_*.c) src/shared/sbx_io.c src/shared/sbx_wire.c
OBJ      := $(BUILD)/obj
SBX_OBJ  := $(SBX_SRC:src/shared/%.c=$(OBJ)/%.o)
SUP_OBJ  := $(SUP_SRC:src/supervisor/%.c=$(OBJ)/%.o)
SUP      := $(BUILD)/sandbox-supervisor
# What runs inside a box: static in every build, for the guest's rootfs may have no libc.
GUEST    := $(BUILD)/sandbox-guest
# A sandbox's private network: the one program with libraries of its own, built where they are.
NET_LIBS := libcares libmnl libnftnl libseccomp
NET      := $(if $(shell $(PKG_CONFIG) --exists $(NET_LIBS) 2>/dev/null && echo yes),$(BUILD)/sandbox-net)
NET_SRC  := $(wildcard src/net/net_*.c) src/shared/sbx_fdpass.c src/shared/sbx_wire.c
# Images: one program, one task a process.
IMAGE     := $(BUILD)/sandbox-image
IMAGE_SRC := $(wildcard src/image/img_*.c) src/shared/sbx_io.c
CORES    := $(ABIS:%=$(BUILD)/%/sandbox/core.so)
LUA_FILES   := $(patsubst lua/%,%,$(wildcard lua/sandbox/*.lua lua/sandbox/*/*.lua))

.PHONY: all core supervisor install install-abi demo test check-quick bench bench-report hits soak faults runtimes network images fleet fleet-faults fleet-bench fuzz model serve terminal docs lint clean runsc deps archive
all: core supervisor
core: $(CORES)
	@test -n "$(strip $(ABIS))" || { echo "no Lua headers found$(if $(LUA_INCDIR), in $(LUA_INCDIR) of a version from 5.1 to 5.4): make deps, or LUA_INCDIR=/dir/of/lua.h" >&2; exit 1; }
supervisor: $(SUP) $(GUEST) $(NET) $(IMAGE)

$(GUEST): $(GUEST_SRC) $(wildcard src/guest/*.h) src/shared/sbx_wire.h
	@mkdir -p $(@D)
	$(CC) $(filter-out $(SAN_FLAGS),$(SBX_CFLAGS)) -Isrc/shared -MF $(BUILD)/guest.d $(CFLAGS) $(CPPFLAGS) -static-pie -Wl,--gc-sections -Wl,-z,relro,-z,now $(LDFLAGS) $(filter %.c,$^) -o $@

$(BUILD)/sandbox-net: $(NET_SRC) $(wildcard src/net/*.h src/shared/*.h)
	@mkdir -p $(@D)
	$(CC) $(SBX_CFLAGS) -fPIE -Isrc/shared -MF $(BUILD)/net.d $(CFLAGS) $(CPPFLAGS) -pie -Wl,--gc-sections -Wl,-z,relro,-z,now $(LDFLAGS) \
	  $(filter %.c,$^) $(shell $(PKG_CONFIG) --cflags --libs $(NET_LIBS)) -o $@

$(IMAGE): $(IMAGE_SRC) $(wildcard src/image/*.h src/shared/*.h)
	@mkdir -p $(@D)
	$(CC) $(SBX_CFLAGS) -fPIE -Isrc/shared -MF $(BUILD)/image.d $(CFLAGS) $(CPPFLAGS) $(SUP_STATIC) -Wl,--gc-sections -Wl,-z,relro,-z,now $(LDFLAGS) \
	  $(filter %.c,$^) -ljson-c -lm -o $@

$(SUP): $(SUP_OBJ) $(SBX_OBJ)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(SAN_FLAGS) $(SUP_STATIC) -Wl,--gc-sections -Wl,-z,relro,-z,now $(LDFLAGS) $^ -ljson-c -lcap -lm -o $@

$(OBJ)/sbx_%.o: src/shared/sbx_%.c
	@mkdir -p $(@D)
	$(CC) $(SBX_CFLAGS) $(CFLAGS) $(CPPFLAGS) -c $< -o $@
$(OBJ)/sup_%.o: src/supervisor/sup_%.c
	@mkdir -p $(@D)
	$(CC) $(SBX_CFLAGS) -Isrc/shared $(CFLAGS) $(CPPFLAGS) -c $< -o $@

# One rule for each ABI: the same sources under another lua.h.
LIBEXEC = $(if $(LIBDIR),$(LIBDIR),$(PREFIX)/lib/lua/$(1))/sandbox
define ABI_RULES
$(OBJ)/$(1)/%.o: src/module/%.c
	@mkdir -p $$(@D)
	$$(CC) $$(SBX_CFLAGS) -Isrc/shared $(if $(LUA_INCDIR),-I$(LUA_INCDIR),$(FLAGS_$(1))) -DSBX_LIBEXEC='"$(LIBEXEC)"' $$(CFLAGS) $$(CPPFLAGS) -c $$< -o $$@
$(BUILD)/$(1)/sandbox/core.so: $(LUA_SRC:src/module/%.c=$(OBJ)/$(1)/%.o) $(SBX_OBJ)
	@mkdir -p $$(@D)
	$$(CC) $$(CFLAGS) $$(SAN_FLAGS) $$(LIBFLAG) -Wl,--gc-sections -Wl,-z,relro,-z,now $$(LDFLAGS) $$^ -Wl,--exclude-libs,ALL -l:libcap.a -o $$@
endef
$(foreach a,$(ABIS),$(eval $(call ABI_RULES,$(a))))

# What the C unit tests link against: everything but the supervisor's main.
archive: $(BUILD)/libsup.a
$(BUILD)/libsup.a: $(filter-out %/sup_main.o,$(SUP_OBJ)) $(SBX_OBJ)
	@rm -f $@
	ar rcs $@ $^

# Copies only, and never builds: LuaRocks calls it without CFLAGS, distributions as another user.
install:
	@test -n "$(strip $(ABIS))" || { echo "nothing to install: run make first" >&2; exit 1; }
	@test -z "$(LIBDIR)" || test "$(words $(ABIS))" = 1 || \
	  { echo "one LIBDIR for Lua $(ABIS): each needs its own; name one with LUA_INCDIR=/dir/of/lua.h" >&2; exit 1; }
	@for a in $(ABIS); do $(MAKE) --no-print-directory install-abi A=$$a \
	  LIBDIR="$(if $(LIBDIR),$(LIBDIR),$(PREFIX)/lib/lua/$$a)" LUADIR="$(if $(LUADIR),$(LUADIR),$(PREFIX)/share/lua/$$a)" || exit 1; done
	install -d $(DESTDIR)$(BINDIR)
	sed '1s|/env lua$$|/env $(COMMAND_LUA)|' bin/sandbox >$(DESTDIR)$(BINDIR)/sandbox
	chmod 755 $(DESTDIR)$(BINDIR)/sandbox
	install -d $(DESTDIR)$(MANDIR)/man1
	install -m 644 doc/sandbox.1 $(DESTDIR)$(MANDIR)/man1/sandbox.1
install-abi:
	install -d $(DESTDIR)$(LIBDIR)/sandbox $(sort $(dir $(LUA_FILES:%=$(DESTDIR)$(LUADIR)/%)))
	install -m 755 $(BUILD)/$(A)/sandbox/core.so $(SUP) $(GUEST) $(IMAGE) $(wildcard $(BUILD)/sandbox-net) $(DESTDIR)$(LIBDIR)/sandbox/
	for f in $(LUA_FILES); do install -m 644 "lua/$$f" "$(DESTDIR)$(LUADIR)/$$f" || exit 1; done
	install -m 644 lua/sandbox_gvisor.lua $(DESTDIR)$(LUADIR)/

deps:
	@scripts/deps.sh test
runsc:
	@scripts/runsc.sh
demo:
	@scripts/demo.sh
# Uses whatever is here; installs what is missing as root, names it otherwise.
test:
	@scripts/test.sh
check-quick:
	@scripts/test.sh quick
bench:
	@scripts/bench.sh
# A page with plots of what `make bench` measured last.
bench-report:
	@scripts/bench-report.sh
# Every limit a hundred times, on every configuration: hours. scripts/hits.sh 100 here takes minutes.
hits:
	@scripts/hits.sh
# Random sandboxes whose end is known: make soak RUNS=20000 SEED=1; or so many sudden deaths: make soak KILLS=1000.
soak:
	@KILLS=$(KILLS) scripts/soak.sh $(or $(RUNS),1200) $(SEED)
# Each system call of a run fails once: half an hour. scripts/faults.sh run/mount takes some of them.
faults:
	@scripts/faults.sh
# Installs two dozen runtimes and tools, and has each do its work in a sandbox.
runtimes:
	@scripts/runtimes.sh
# Real clients through a list of names, and 50 sudden deaths of each part, on every build: half an hour.
network:
	@scripts/network.sh
# What takes long of images: Debian by debootstrap compared with podman's, on every build; kills, races and pruning.
images:
	@scripts/images.sh
# A broker on loopback, two workers, and a client that judges a thousand submissions.
fleet:
	@scripts/fleet.sh
# Everything that may befall a fleet, fifty times each, with Redis and with Valkey.
fleet-faults:
	@scripts/fleet-faults.sh
# What a fleet costs, and how far one broker goes: a table, and a plot.
fleet-bench:
	@scripts/fleet-bench.sh
# What strangers write: each target of spec/fuzz for so many seconds, then as long mutated bundles. make fuzz TARGETS="trace log" for some.
fuzz:
	@scripts/fuzz.sh $(or $(SECONDS),600) $(TARGETS)
	SANDBOX_FUZZ_SECONDS=$(or $(SECONDS),600) $(TREE_ENV) LUA_PATH='lua/?.lua;lua/?/init.lua;spec/?.lua;;' $(LUA) $$(command -v busted) -o TAP --no-recursive spec/fuzz_spec.lua
# All states of the models of a run's and a pool's life.
model:
	@scripts/model.sh
serve:
	@scripts/serve.sh
# A shell in a sandbox, in a browser.
terminal:
	@scripts/serve.sh terminal
lint:
	@scripts/lint.sh
docs:
	@mkdir -p types
	$(TREE_ENV) $(LUA) scripts/docs.lua readme README.md
	$(TREE_ENV) $(LUA) scripts/docs.lua luals types/sandbox.lua
	$(TREE_ENV) $(LUA) scripts/docs.lua man doc/sandbox.1
	@if command -v ldoc >/dev/null; then ldoc -q -c config.ld . && echo "build/doc/index.html"; fi
# The three runsc builds stay: they cost minutes to fetch. `rm -rf build` drops them too.
clean:
	rm -rf $(OBJ) $(BUILD)/5.* $(SUP) $(GUEST) $(BUILD)/sandbox-net $(BUILD)/*.d $(BUILD)/libsup.a build/asan build/ctest build/doc build/serve build/log build/bench build/bench-*

-include $(wildcard $(OBJ)/*.d $(OBJ)/*/*.d)
