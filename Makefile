# make demo   a private model from a synthetic census, in about a minute after the build
# make test   set-up, lint, all tests; those with Spark where it and fastdp-spark are there
# make spark  fastdp-spark beside fastdp, and Spark where there is none (about ten minutes the first time)
SWIFT ?= swift
PROGRAM = .build/release/fastdp

.PHONY: demo spark test lint setup build clean

demo: setup
	$(SWIFT) build -c release --product fastdp
	$(PROGRAM) demo --out .build/demo --overwrite

test: setup lint
	@SWIFT="$(SWIFT)" scripts/test
	@SWIFT="$(SWIFT)" scripts/spark test --if-there

spark: setup
	@SWIFT="$(SWIFT)" scripts/spark install

lint:
	$(SWIFT) format lint --strict --recursive --parallel Package.swift Sources Tests Benchmarks \
		Spark/Package.swift Spark/Sources Spark/Tests

build: setup
	$(SWIFT) build -c release --product fastdp

setup:
	@scripts/setup

clean:
	rm -rf .build
