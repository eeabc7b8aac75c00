# make jam     play: SECONDS=30 RECORD=out.flac PROMPT="bossa nova" MODEL=tiny ARGS="..."
# make test    everything that CI runs on the code; make lint, make bench, make wheel
# make plugin  the plugin (VST3, LV2, standalone): make plugin-install, make test-plugin, make bench-plugin
.PHONY: jam test lint types bench bench-bridge bench-codec bench-feel bench-jam bench-mrt2 eval wheel setup dev clean lock
.PHONY: plugin plugin-install test-plugin bench-plugin
.DEFAULT_GOAL := help

PYTHON := .venv/bin/python
MODEL ?= tiny
PROMPT ?= disco funk

help:
	@sed -n '1,3s/^# //p' Makefile

setup:
	@scripts/setup

dev:
	@scripts/setup --dev

jam: setup
	@$(PYTHON) -m jackdaw jam --model "$(MODEL)" --prompt "$(PROMPT)" --private-server=if-needed \
	  $(if $(SECONDS),--seconds $(SECONDS)) $(if $(RECORD),--record "$(RECORD)") $(ARGS)

test: dev
	@$(PYTHON) -m pytest $(ARGS)

lint: dev
	@$(PYTHON) -m ruff format --check .
	@$(PYTHON) -m ruff check .
	@shellcheck scripts/setup scripts/build-plugin .ci/run

# strict types are checked on the package as it is installed
types: wheel
	@rm -rf build/site && $(PYTHON) -m pip install -q --no-deps --target build/site dist/*.whl
	@MYPYPATH=build/site $(PYTHON) -m mypy -p jackdaw

bench: bench-bridge bench-codec

bench-bridge: dev
	@$(PYTHON) bench/bridge.py $(ARGS)

bench-codec: dev
	@$(PYTHON) bench/codec.py $(ARGS)

# how a model feels under the hands: hearing, controls, transport (docs/hearing.md)
bench-feel: dev
	@scripts/setup-judges
	@$(PYTHON) bench/feel.py $(ARGS)

# two minutes by script: a held-out riff is heard; recording and picture in build/jam
bench-jam: dev
	@scripts/setup-judges
	@$(PYTHON) bench/two_minutes.py --corpus "$(CORPUS)" $(ARGS)

# Magenta RealTime 2 in random weights, beside the reference where scripts/setup-reference made its environment
bench-mrt2: dev
	@$(PYTHON) bench/mrt2.py $(ARGS)

# judges the bundled model (docs/eval.md); CORPUS is where engine/training/corpus.py built
CORPUS ?= corpus

eval: dev
	@scripts/setup-judges
	@nice -n 10 $(PYTHON) bench/eval/run.py --corpus "$(CORPUS)" --out build/eval $(ARGS)

PLUGINS := build/plugin/plugin_stub/jackdaw_plugin_artefacts/Release

plugin:
	@scripts/setup --plugin
	@scripts/build-plugin

plugin-install: plugin
	@mkdir -p ~/.vst3 ~/.lv2
	@rm -rf ~/.vst3/Jackdaw.vst3 ~/.lv2/Jackdaw.lv2
	@cp -r $(PLUGINS)/VST3/Jackdaw.vst3 ~/.vst3/ && cp -r $(PLUGINS)/LV2/Jackdaw.lv2 ~/.lv2/
	@echo "installed in ~/.vst3 and ~/.lv2"

test-plugin: dev plugin
	@scripts/setup --plugin-hosts
	@$(PYTHON) -m pytest tests/plugin $(ARGS)

bench-plugin: dev plugin
	@scripts/setup --plugin-hosts
	@$(PYTHON) bench/plugin.py $(ARGS)

wheel: dev
	@rm -rf dist && $(PYTHON) -m pip wheel -q --no-build-isolation --no-deps -w dist .
	@ls -l dist

lock: dev
	@scripts/lock

clean:
	rm -rf build dist .venv .mypy_cache .ruff_cache .pytest_cache
