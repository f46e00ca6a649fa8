# Rouse: one non-recursive build.  `make help` lists the targets.
#
# A *module* is a folder of C files that becomes one static archive. The table
# below is the dependency graph of the project: a module's unit tests link its
# closure and nothing else, and hack/check-includes holds the #include lines
# to it. Output lies in build/<variant>/.

VARIANT   ?= release
B         := build/$(VARIANT)
GEN       := build/gen
CC        ?= cc
PREFIX    ?= /usr/local
.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SECONDARY:
MAKEFLAGS += --no-builtin-rules

# ---------------------------------------------------------------- modules
MODULES := proto \
  $(addprefix runtime-sdk/,base sched curl reactor http wire invoke control flow package sdk local cli) \
  $(addprefix agent/,shard router launcher sandbox network cgroup pool runtime code report) \
  $(addprefix controller/,brain api store activator autoscaler scheduler nodes metrics external simulate) \
  test/bench/load test/bench/agents

R := runtime-sdk
DEPS_proto           :=
DEPS_$(R)/base       :=
DEPS_$(R)/sched      := $(R)/base
DEPS_$(R)/curl       := $(R)/sched $(R)/base
DEPS_$(R)/reactor    := $(R)/base
DEPS_$(R)/http       := $(R)/reactor $(R)/base
DEPS_$(R)/wire       := $(R)/base
DEPS_$(R)/invoke     := $(R)/http $(R)/wire $(R)/reactor $(R)/base
DEPS_$(R)/flow       := $(R)/base
DEPS_$(R)/package    := $(R)/base
DEPS_$(R)/control    := proto $(R)/reactor $(R)/base
DEPS_$(R)/sdk        := $(R)/sched $(R)/wire $(R)/base
DEPS_$(R)/local      := $(R)/invoke $(R)/http $(R)/reactor $(R)/base
DEPS_$(R)/cli        := $(R)/local $(R)/invoke $(R)/package $(R)/http $(R)/base
DEPS_agent/cgroup    := $(R)/base
DEPS_agent/network   := $(R)/base
DEPS_agent/sandbox   := agent/cgroup agent/network $(R)/base
DEPS_agent/launcher  := agent/sandbox agent/cgroup agent/network $(R)/reactor $(R)/base
DEPS_agent/code      := $(R)/package $(R)/reactor $(R)/base
DEPS_agent/runtime   := agent/sandbox $(R)/reactor $(R)/base
DEPS_agent/report    := proto $(R)/flow $(R)/reactor $(R)/base
DEPS_agent/pool      := agent/launcher agent/code agent/runtime agent/report proto $(R)/invoke $(R)/wire $(R)/http $(R)/reactor $(R)/base
DEPS_agent/router    := agent/pool agent/runtime agent/report proto $(R)/control $(R)/invoke $(R)/http $(R)/flow $(R)/reactor $(R)/base
DEPS_agent/shard    := agent/router agent/pool agent/code agent/launcher agent/runtime agent/report proto $(R)/control $(R)/invoke $(R)/http $(R)/flow $(R)/reactor $(R)/base
DEPS_controller/store      := $(R)/package $(R)/reactor $(R)/base
DEPS_controller/autoscaler := $(R)/flow $(R)/base
DEPS_controller/scheduler  := $(R)/base
DEPS_controller/nodes      := controller/scheduler proto $(R)/reactor $(R)/base
DEPS_controller/activator  := proto $(R)/invoke $(R)/http $(R)/wire $(R)/reactor $(R)/flow $(R)/base
DEPS_controller/metrics    := $(R)/base
DEPS_controller/external   := $(R)/reactor $(R)/base
DEPS_controller/brain      := controller/activator controller/autoscaler controller/external controller/scheduler controller/nodes controller/store controller/metrics proto $(R)/package $(R)/control $(R)/http $(R)/wire $(R)/reactor $(R)/flow $(R)/base
DEPS_controller/simulate   := controller/brain controller/activator controller/autoscaler proto $(R)/flow $(R)/base
DEPS_test/bench/agents     := $(R)/control proto $(R)/reactor $(R)/base
DEPS_controller/api        := controller/brain controller/autoscaler controller/store controller/metrics $(R)/package $(R)/http $(R)/wire $(R)/reactor $(R)/base

LIBS_$(R)/reactor          := -luring
LIBS_$(R)/curl             := -lcurl
LIBS_$(R)/control          := -lwebsockets -lprotobuf-c
LIBS_$(R)/package          := -larchive -lcrypto
LIBS_$(R)/cli              := -lcurl -lyaml -ljson-c
LIBS_$(R)/http             := -ljson-c
LIBS_$(R)/sdk              := -ljson-c
LIBS_$(R)/invoke           := -ljson-c
LIBS_proto                 := -lprotobuf-c
LIBS_agent/network         := -lmnl -lnftables
LIBS_agent/sandbox         := -lseccomp
LIBS_agent/code            := -lcurl -lseccomp
LIBS_agent/runtime         := -ljson-c
LIBS_controller/store      := -lsqlite3 -lcrypto
LIBS_controller/external   := -lcurl -ljson-c
LIBS_controller/nodes      := -ljson-c
LIBS_controller/brain      := -ljson-c -lcrypto
LIBS_controller/simulate   := -lm
LIBS_controller/api        := -ljson-c -lcrypto

closure = $(1) $(foreach d,$(DEPS_$(1)),$(call closure,$(d)))
libs_of = $(sort $(foreach m,$(sort $(call closure,$(1))),$(LIBS_$(m))))

# ---------------------------------------------------------------- flags
WARN := -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes \
        -Wpointer-arith -Wvla -Wformat=2 -Werror
BRANCHES := -fcf-protection
HARDEN = -fPIE -fstack-protector-strong -fstack-clash-protection $(BRANCHES) \
          -fno-strict-aliasing -fno-delete-null-pointer-checks
CFLAGS_release := -O2 -g -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3
CFLAGS_asan    := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
CFLAGS_tsan    := -O1 -g -fsanitize=thread -fno-omit-frame-pointer
CFLAGS_fuzz    := -O1 -g -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
ifeq ($(VARIANT),fuzz)
override CC := clang
WARN := -Wall -Wextra -Werror
endif
# For qemu-user: static programs of what needs no library but libc.
CFLAGS_aarch64 := -O2 -g
ifeq ($(VARIANT),aarch64)
override CC := aarch64-linux-gnu-gcc
BRANCHES := -mbranch-protection=standard
endif
CFLAGS ?= $(CFLAGS_$(VARIANT))
CSTD   := -std=gnu17 -D_GNU_SOURCE -pthread
# As needed: a module's libraries are listed whole, and a program is linked with those that its part of it calls.
LDFLAGS += -pie -Wl,--as-needed -Wl,-z,relro,-z,now,-z,noexecstack $(filter -fsanitize=%,$(filter-out -fsanitize=fuzzer%,$(CFLAGS)))
ifeq ($(VARIANT),aarch64)
LDFLAGS := -static
endif
ifeq ($(VARIANT),fuzz)
LDFLAGS += -fsanitize=fuzzer,address,undefined
endif

# The -I roots a top folder may see: an upward #include does not compile.
ROOTS_proto       := -Iproto -I$(GEN)
ROOTS_runtime-sdk := $(ROOTS_proto) -Iruntime-sdk -Iruntime-sdk/include
ROOTS_agent       := $(ROOTS_runtime-sdk) -Iagent
ROOTS_controller  := $(ROOTS_runtime-sdk) -Icontroller
ROOTS_test        := $(ROOTS_runtime-sdk) -Itest
roots_of = $(ROOTS_$(firstword $(subst /, ,$(1))))

# One short line a step; `make V=1` shows the commands.
Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-5s %s\n' '$(1)' '$(patsubst $(B)/%,%,$@)')

COMPILE = $(Q)$(CC) $(CSTD) $(WARN) $(HARDEN) $(CFLAGS) -MMD -MP

# ---------------------------------------------------------------- generated
PB_SRC := $(wildcard proto/*.proto)
PB_C   := $(patsubst proto/%.proto,$(GEN)/%.pb-c.c,$(PB_SRC))
PB_H   := $(PB_C:.c=.h)

$(GEN)/%.pb-c.c $(GEN)/%.pb-c.h &: proto/%.proto
	@mkdir -p $(@D)
	$(call say,PROTO)
	$(Q)protoc-c --proto_path=proto --c_out=$(GEN) $<

$(B)/gen/%.pb-c.o: $(GEN)/%.pb-c.c
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC) $(CSTD) $(HARDEN) $(CFLAGS) -w $(ROOTS_proto) -c $< -o $@

# ---------------------------------------------------------------- archives
define module_rules
SRC_$(1) := $$(filter-out %/main.c,$$(wildcard $(1)/*.c)) $$(wildcard $(1)/*.S)
OBJ_$(1) := $$(patsubst %,$(B)/obj/%.o,$$(SRC_$(1)))
$(B)/lib/$(1).a: $$(OBJ_$(1)) $(if $(filter proto,$(1)),$(patsubst $(GEN)/%.c,$(B)/gen/%.o,$(PB_C)))
	@mkdir -p $$(@D)
	@rm -f $$@
	$(Q)ar rcs $$@ $$^
endef
$(foreach m,$(MODULES),$(eval $(call module_rules,$(m))))

$(B)/obj/%.c.o: %.c | $(PB_H)
	@mkdir -p $(@D)
	$(call say,CC)
	$(COMPILE) $(call roots_of,$<) -c $< -o $@

# Assembly that embeds files depends on every schema it may embed.
$(B)/obj/%.S.o: %.S $(wildcard proto/*.json)
	@mkdir -p $(@D)
	$(call say,AS)
	$(Q)$(CC) $(BRANCHES) -c $< -o $@

archives_of = $(foreach m,$(sort $(call closure,$(1))),$(B)/lib/$(m).a)
link = $(Q)$(CC) $(filter %.o,$^) -Wl,--start-group $(filter %.a,$^) -Wl,--end-group $(LDFLAGS) -pthread

# The library that a zygote loads (agent/sandbox/zygote.h): what its one function needs of that module and those it
# rests on, position-independent, the same in every variant. The agent carries it.
ZYGOTE_OBJ := $(patsubst %,build/pic/%.o,$(filter %.c,$(foreach m,$(sort $(call closure,agent/sandbox)),$(SRC_$(m)))))
build/pic/%.c.o: %.c
	@mkdir -p $(@D)
	$(call say,PIC)
	$(Q)$(CC) $(CSTD) $(WARN) $(filter-out -fPIE,$(HARDEN)) $(CFLAGS_release) -fPIC -fvisibility=hidden \
	  -ffunction-sections -fdata-sections $(call roots_of,$<) -MMD -MP -c $< -o $@
build/pic/zygote.so: $(ZYGOTE_OBJ)
	$(call say,LINK)
	$(Q)$(CC) -shared -Wl,--gc-sections,-z,defs,-z,relro,-z,now,-z,noexecstack,-s $^ -lmnl -o $@
$(B)/obj/agent/launcher/zygote_library.S.o: build/pic/zygote.so

AGENT_MODULES      := agent/shard agent/code
CONTROLLER_MODULES := controller/api controller/simulate
$(B)/bin/rouse-agent: $(B)/obj/agent/main.c.o $(sort $(foreach m,$(AGENT_MODULES),$(call archives_of,$(m))))
	@mkdir -p $(@D)
	$(call say,LINK)
	$(link) $(sort $(foreach m,$(AGENT_MODULES),$(call libs_of,$(m)))) -o $@
$(B)/bin/rouse-unpack: $(B)/obj/agent/unpack/main.c.o $(call archives_of,agent/code)
	@mkdir -p $(@D)
	$(call say,LINK)
	$(link) $(call libs_of,agent/code) -o $@
$(B)/bin/rouse-controller: $(B)/obj/controller/main.c.o $(sort $(foreach m,$(CONTROLLER_MODULES),$(call archives_of,$(m))))
	@mkdir -p $(@D)
	$(call say,LINK)
	$(link) $(sort $(foreach m,$(CONTROLLER_MODULES),$(call libs_of,$(m)))) -o $@
$(B)/bin/rouse: $(B)/obj/runtime-sdk/cli/main.c.o $(call archives_of,runtime-sdk/cli)
	@mkdir -p $(@D)
	$(call say,LINK)
	$(link) $(call libs_of,runtime-sdk/cli) -o $@

# librouse.a: what a C function links. Its members stay apart, so that only what is used is linked; whatever
# they share is renamed to rouse__NAME, so that a function may have a buffer_append() of its own. Without debug
# information, which would be most of a small program.
SDK_OBJ = $(OBJ_runtime-sdk/sdk) $(OBJ_runtime-sdk/sched) $(OBJ_runtime-sdk/wire) $(OBJ_runtime-sdk/base)
# librouse-reactor.a: <rouse/reactor.h> for programs that are no functions, made likewise.
REACTOR_OBJ = $(OBJ_runtime-sdk/reactor) $(OBJ_runtime-sdk/base)
# librouse-curl.a: <rouse/curl.h> and <rouse/fetch.h>, beside librouse.a: a function without them needs no libcurl.
CURL_OBJ = $(OBJ_runtime-sdk/curl)
$(B)/lib/librouse.a: $(SDK_OBJ)
$(B)/lib/librouse-reactor.a: $(REACTOR_OBJ)
$(B)/lib/librouse-curl.a: $(CURL_OBJ)
$(B)/lib/librouse.a $(B)/lib/librouse-reactor.a $(B)/lib/librouse-curl.a:
	@mkdir -p $(@D)
	@rm -rf $@ $@.members && mkdir $@.members
	$(Q)nm -g --defined-only -f posix $^ | awk 'NF > 2 && $$1 !~ /^rouse_/ { print $$1, "rouse__" $$1 }' | sort -u >$@.members/names
	$(Q)for o in $^; do \
	  objcopy --strip-debug --redefine-syms=$@.members/names $$o $@.members/$$(basename $$(dirname $$o))-$$(basename $${o%.*.o}).o || exit 1; done
	$(Q)ar rcs $@ $@.members/*.o
	@rm -rf $@.members
# Example functions in C: deploy/examples/NAME/*.c -> a static build/<variant>/examples/NAME/bootstrap.
EXAMPLES := $(patsubst deploy/examples/%/bootstrap.c,$(B)/examples/%/bootstrap,$(wildcard deploy/examples/*/bootstrap.c))
$(B)/examples/%/bootstrap: deploy/examples/%/bootstrap.c deploy/examples/%/function.yaml $(B)/lib/librouse.a
	@mkdir -p $(@D)
	$(call say,LINK)
	$(Q)$(CC) $(CSTD) $(WARN) -O2 -g -fstack-clash-protection -Iruntime-sdk/include $< $(B)/lib/librouse.a -ljson-c -static -o $@
	@cp deploy/examples/$*/function.yaml $(@D)/

# What `rouse build` links beside librouse.a: said here alone.
$(B)/obj/runtime-sdk/cli/build.c.o: Makefile
$(B)/obj/runtime-sdk/cli/build.c.o: COMPILE += -DSDK_LIBS='"$(call libs_of,runtime-sdk/sdk)"'

BINARIES := $(addprefix $(B)/bin/,rouse-controller rouse-agent rouse-unpack rouse)
RUNTIMES ?= python3 nodejs provided
RUNTIME_STAMPS := $(RUNTIMES:%=build/runtimes/%/runtime.json)
build/runtimes/%/runtime.json: hack/mkruntime $(wildcard runtime-sdk/python/* runtime-sdk/nodejs/*)
	hack/mkruntime $* build/runtimes

# ---------------------------------------------------------------- unit tests and fuzzers
LIBS_check := -lcheck -lsubunit -lm -lrt
ifeq ($(VARIANT),aarch64)
LIBS_check := -lm
UNIT_FLAGS := -Itest/unit/plain
endif
UNIT_SRC := $(shell find test/unit -name '*_test.c' 2>/dev/null | sort)
UNIT_BIN := $(UNIT_SRC:%.c=$(B)/%)
$(B)/obj/test/unit/%.c.o: test/unit/%.c | $(PB_H)
	@mkdir -p $(@D)
	$(call say,CC)
	$(COMPILE) $(call roots_of,$*) -Itest/unit $(UNIT_FLAGS) -c $< -o $@
module_of_test = $(patsubst %/,%,$(dir $(1)))
.SECONDEXPANSION:
$(B)/test/unit/%: $(B)/obj/test/unit/%.c.o $$(call archives_of,$$(call module_of_test,$$*))
	@mkdir -p $(@D)
	$(call say,LINK)
	$(link) $(call libs_of,$(call module_of_test,$*)) $(LIBS_check) -o $@

# test/fuzz/NAME_fuzz.c names its module in a line "/* module: runtime-sdk/http */".
FUZZ_SRC := $(wildcard test/fuzz/*_fuzz.c)
FUZZ_BIN := $(FUZZ_SRC:%.c=build/fuzz/%)
fuzz_module = $(shell sed -n 's|^/\* module: \([^ ]*\).*|\1|p' test/fuzz/$(1).c)
ifeq ($(VARIANT),fuzz)
$(B)/obj/test/fuzz/%.c.o: test/fuzz/%.c | $(PB_H)
	@mkdir -p $(@D)
	$(call say,CC)
	$(COMPILE) $(call roots_of,$(call fuzz_module,$*)) -c $< -o $@
$(B)/test/fuzz/%: $(B)/obj/test/fuzz/%.c.o $$(call archives_of,$$(call fuzz_module,$$*))
	@mkdir -p $(@D)
	$(call say,LINK)
	$(link) $(call libs_of,$(call fuzz_module,$*)) -o $@
endif

# ---------------------------------------------------------------- programs of the benchmarks
# A test/bench/NAME.c with a line "/* module: runtime-sdk/http */", or "/* libs: -luv */" for one that uses
# nothing of ours, becomes build/<variant>/bench/NAME. test/bench/load and test/bench/agents are modules with a main.c.
BENCH_SRC := $(shell grep -lE '^/\* (module|libs): ' test/bench/*.c 2>/dev/null)
BENCH_BIN := $(BENCH_SRC:test/bench/%.c=$(B)/bench/%) $(B)/bench/load $(B)/bench/agents
bench_line = $(shell sed -n 's|^/\* $(1): *\([^*]*[^* ]\) *\*/|\1|p' test/bench/$(2).c)
bench_module = $(call bench_line,module,$(1))
$(B)/obj/test/bench/%.c.o: test/bench/%.c | $(PB_H)
	@mkdir -p $(@D)
	$(call say,CC)
	$(COMPILE) $(call roots_of,$(or $(call bench_module,$*),test)) -c $< -o $@
$(B)/bench/load $(B)/bench/agents: $(B)/bench/%: $(B)/obj/test/bench/%/main.c.o $$(call archives_of,test/bench/$$*)
	@mkdir -p $(@D)
	$(call say,LINK)
	$(link) $(call libs_of,test/bench/$*) -o $@
$(B)/bench/%: $(B)/obj/test/bench/%.c.o $$(call archives_of,$$(call bench_module,$$*))
	@mkdir -p $(@D)
	$(call say,LINK)
	$(link) $(call libs_of,$(call bench_module,$*)) $(call bench_line,libs,$*) -o $@

# ---------------------------------------------------------------- programs of the comparisons
# test/compat/NAME_driver.c is our side of a comparison; it names its module as a fuzzer does.
DRIVER_SRC := $(wildcard test/compat/*_driver.c)
DRIVER_BIN := $(DRIVER_SRC:%.c=$(B)/%)
driver_module = $(shell sed -n 's|^/\* module: \([^ ]*\).*|\1|p' test/compat/$(1).c)
$(B)/obj/test/compat/%.c.o: test/compat/%.c | $(PB_H)
	@mkdir -p $(@D)
	$(call say,CC)
	$(COMPILE) $(call roots_of,$(call driver_module,$*)) -c $< -o $@
$(B)/test/compat/%: $(B)/obj/test/compat/%.c.o $$(call archives_of,$$(call driver_module,$$*))
	@mkdir -p $(@D)
	$(call say,LINK)
	$(link) $(call libs_of,$(call driver_module,$*)) -o $@

# ---------------------------------------------------------------- targets
.PHONY: all run stop check check-unit check-asan check-tsan check-model check-fuzz check-compat check-e2e \
        unit fuzzers bench-programs drivers runtimes bench scale-up-picture stress fmt lint install install-reactor clean help
all: $(BINARIES) $(B)/lib/librouse.a $(B)/lib/librouse-curl.a $(B)/lib/librouse-reactor.a $(EXAMPLES) ## build the programs, the SDK and the examples
unit: $(UNIT_BIN)
drivers: $(DRIVER_BIN)
fuzzers:
	@$(MAKE) --no-print-directory VARIANT=fuzz $(FUZZ_BIN)
bench-programs: $(BENCH_BIN) ## build the programs that the benchmarks run
runtimes: $(RUNTIME_STAMPS) ## build the language runtimes into build/runtimes

run: ## install what is missing, build, start, apply hello and call it
	hack/install-deps run
	@$(MAKE) --no-print-directory -j2 all runtimes
	hack/demo $(B)/bin
stop: ## stop what `make run` started and leave nothing behind
	@if [ -x $(B)/bin/rouse ]; then $(B)/bin/rouse down; else echo "nothing is built: nothing runs"; fi

check: ## install what tests need, run them all, end with "N passed, N failed, N skipped"
	hack/install-deps check
	@test/run all
check-unit check-asan check-tsan check-model check-fuzz check-compat check-e2e: check-%: ## one stage of make check
	@test/run $*
bench: ## all benchmarks; bench-NAME for one of test/bench/NAME
	hack/install-deps bench
	@test/bench/run
bench-%:
	hack/install-deps bench
	@test/bench/run $*
scale-up-picture: all runtimes ## record a scale-up on three nodes, as root, and draw it anew: deploy/monitoring/scale-up.svg
	test/bench/scale_up_picture.py
stress: ## the long form of the stress tests
	@test/run stress
lint: ## includes, shell scripts, formatting
	@test/run lint
fmt: ## clang-format over the C files
	@git ls-files '*.c' '*.h' | xargs clang-format -i
install: all runtimes install-reactor ## install programs, runtimes and SDK below PREFIX
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/lib/rouse/runtimes $(DESTDIR)$(PREFIX)/include
	install -m 755 $(BINARIES) $(DESTDIR)$(PREFIX)/bin
	install -m 644 $(B)/lib/librouse.a $(B)/lib/librouse-curl.a $(DESTDIR)$(PREFIX)/lib
	cp -a runtime-sdk/include/rouse $(DESTDIR)$(PREFIX)/include/
	install -d $(DESTDIR)$(PREFIX)/lib/pkgconfig
	sed 's|@PREFIX@|$(PREFIX)|; s|@LIBS@|$(call libs_of,runtime-sdk/sdk)|' runtime-sdk/sdk/rouse.pc.in \
	  >$(DESTDIR)$(PREFIX)/lib/pkgconfig/rouse.pc
	install -d $(DESTDIR)$(PREFIX)/share/man/man3
	install -m 644 runtime-sdk/sdk/rouse.3 $(DESTDIR)$(PREFIX)/share/man/man3
	sed 's|@PREFIX@|$(PREFIX)|' runtime-sdk/curl/rouse-curl.pc.in >$(DESTDIR)$(PREFIX)/lib/pkgconfig/rouse-curl.pc
	cd build/runtimes && for r in $(RUNTIMES); do \
	  d=$(DESTDIR)$(PREFIX)/lib/rouse/runtimes && rm -rf $$d/.$$r.new $$d/.$$r.previous && cp -a $$r $$d/.$$r.new && \
	  { [ ! -e $$d/$$r ] || mv $$d/$$r $$d/.$$r.previous; } && mv $$d/.$$r.new $$d/$$r || exit 1; done
install-reactor: $(B)/lib/librouse-reactor.a ## install the reactor by itself: library, header, pkg-config file
	install -d $(DESTDIR)$(PREFIX)/lib/pkgconfig $(DESTDIR)$(PREFIX)/include/rouse
	install -m 644 $< $(DESTDIR)$(PREFIX)/lib
	install -m 644 runtime-sdk/include/rouse/reactor.h $(DESTDIR)$(PREFIX)/include/rouse
	sed 's|@PREFIX@|$(PREFIX)|; s|@LIBS@|$(call libs_of,runtime-sdk/reactor)|' runtime-sdk/reactor/rouse-reactor.pc.in \
	  >$(DESTDIR)$(PREFIX)/lib/pkgconfig/rouse-reactor.pc
clean: ## remove build/
	rm -rf build
help: ## this list
	@sed -nE 's/^([a-z][a-z -]*):.*## (.*)/  make \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 24

-include $(shell find $(B) build/pic -name '*.d' 2>/dev/null)
