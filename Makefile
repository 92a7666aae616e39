# hcevents: PostgreSQL row changes as Kafka events.
#
#	make                      builds the extension and its programs
#	make install              installs them into the server of PG_CONFIG
#	make installcheck         regression tests against a running server that
#	                          has shared_preload_libraries = 'hcevents'
#	make CHECK=1              warnings are errors (what CI builds)

EXTENSION = hcevents
MODULE_big = hcevents
OBJS = $(patsubst %.c,%.o,$(filter-out src/tools/%,$(sort $(wildcard src/*.c src/*/*.c))))
DATA = sql/hcevents--1.0.0.sql

PG_CONFIG ?= pg_config
# bitcode for the JIT would need clang, and triggers are never inlined
override with_llvm = no
PG_CPPFLAGS = -I$(srcdir)/src
PG_CFLAGS = -Wall -Wextra -Wno-unused-parameter -Wshadow -Wstrict-prototypes \
	-Wold-style-definition -Wmissing-declarations -Wformat=2 -Wwrite-strings \
	-Wnull-dereference -Wvla
ifdef CHECK
PG_CFLAGS += -Werror
endif
SHLIB_LINK = -lrdkafka -luuid

REGRESS = $(sort $(patsubst $(srcdir)/test/sql/%.sql,%,$(wildcard $(srcdir)/test/sql/*.sql)))
REGRESS_OPTS = --inputdir=$(srcdir)/test --load-extension=hcevents --load-extension=hcevents_test

PROGRAMS = hcevents-consume hcevents-devbroker
EXTRA_CLEAN = $(PROGRAMS)

PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)
include $(srcdir)/src/tools/tools.mk

# every object anew when a header changes: PGXS tracks none
$(OBJS): $(sort $(wildcard $(srcdir)/src/*.h $(srcdir)/src/*/*.h))

# The regression tests read what was captured through an extension of their
# own, which only they need.
installcheck: install-test-module

TEST_MODULE = $(srcdir)/test/modules/hcevents_test

install-test-module:
	$(MAKE) -s -C $(TEST_MODULE) with_llvm=no PG_CONFIG='$(PG_CONFIG)' all
	cmp -s $(TEST_MODULE)/hcevents_test.so '$(DESTDIR)$(pkglibdir)/hcevents_test.so' || \
	$(MAKE) -s -C $(TEST_MODULE) with_llvm=no PG_CONFIG='$(PG_CONFIG)' install

.PHONY: install-test-module
