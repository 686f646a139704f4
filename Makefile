# make demo   a private model from a synthetic census, in about a minute after the build
# make test   set-up, lint, all tests
SWIFT ?= swift
PROGRAM = .build/release/fastdp

.PHONY: demo test lint setup build clean

demo: setup
	$(SWIFT) build -c release --product fastdp
	$(PROGRAM) demo --out .build/demo --overwrite

test: setup lint
	@SWIFT="$(SWIFT)" scripts/test

lint:
	$(SWIFT) format lint --strict --recursive --parallel Package.swift Sources Tests Benchmarks

build: setup
	$(SWIFT) build -c release --product fastdp

setup:
	@scripts/setup

clean:
	rm -rf .build
