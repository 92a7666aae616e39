# The programs.  PGXS allows one of MODULE_big and PROGRAM in a Makefile, so
# these have rules of their own.  Included from the Makefile after PGXS, whose
# CC, CFLAGS and bindir they use.  hcevents-devbroker is for the demo and is
# never installed.

TOOLS_LIBS = -lrdkafka -lpthread
CONSUME_SRCS = src/tools/hcevents_consume.c src/tools/consume_options.c \
	src/tools/consume_topics.c src/tools/partitions.c

all: hcevents-consume hcevents-devbroker

hcevents-consume: $(CONSUME_SRCS) src/tools/consume.h
	$(CC) $(CFLAGS) $(CONSUME_SRCS) $(LDFLAGS) $(TOOLS_LIBS) -o $@

hcevents-devbroker: src/tools/hcevents_devbroker.c
	$(CC) $(CFLAGS) src/tools/hcevents_devbroker.c $(LDFLAGS) $(TOOLS_LIBS) -o $@

install: install-programs

install-programs: hcevents-consume
	$(MKDIR_P) '$(DESTDIR)$(bindir)'
	$(INSTALL_PROGRAM) hcevents-consume '$(DESTDIR)$(bindir)/hcevents-consume'

uninstall: uninstall-programs

uninstall-programs:
	rm -f '$(DESTDIR)$(bindir)/hcevents-consume'

.PHONY: install-programs uninstall-programs
