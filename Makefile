# loopd. "make demo" and "make test" do all the set-up on a Debian machine with Swift.

SWIFT ?= swift
PREFIX ?= /usr/local
DESTDIR ?=
STAGE := .build/stage
FILTER ?=
export SWIFT

.PHONY: help build demo test lint format install uninstall bench clean

help:
	@echo "make demo     build, start the playground, run samples/hello on it"
	@echo "make test     install what the tests need, and run them all (FILTER=name: only some)"
	@echo "make lint     check the format of the sources"
	@echo "make install  put a release below PREFIX ($(PREFIX))"
	@echo "make bench    measure, beside kubectl cp and inotifywait (ONLY=save: only that row)"

build:
	@scripts/stage $(STAGE)

demo:
	@scripts/install-needs demo
	@scripts/stage $(STAGE)
	@scripts/demo

# One build for all: the end-to-end tests use the programs that it leaves beside the test bundle.
test:
	@scripts/install-needs test
	$(SWIFT) build --build-tests
	@scripts/test $(FILTER)

lint:
	$(SWIFT) format lint --strict --recursive Package.swift Sources Tests

format:
	$(SWIFT) format --in-place --recursive Package.swift Sources Tests

install: build
	@scripts/install $(STAGE) $(DESTDIR)$(PREFIX)

uninstall:
	rm -rf $(DESTDIR)$(PREFIX)/libexec/loopd
	rm -f $(DESTDIR)$(PREFIX)/bin/loopd \
		$(DESTDIR)$(PREFIX)/share/bash-completion/completions/loopd \
		$(DESTDIR)$(PREFIX)/share/zsh/site-functions/_loopd \
		$(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/loopd.fish

bench:
	@scripts/install-needs test
	@scripts/stage $(STAGE)
	@scripts/bench $(ONLY)

clean:
	$(SWIFT) package clean
	rm -rf $(STAGE)
