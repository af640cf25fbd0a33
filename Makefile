# Sets everything up in .venv/. Long builds (llama.cpp, the guest) are cached outside the clone.
SHELL := /bin/bash -o pipefail
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
BENCHES := prompt sandbox checkpoint text memory engine spinning alignment speculation turns turnforms remote tree startup
BUILT := pyproject.toml CMakeLists.txt rlm_local/llama/aligned_new.c \
  $(shell find sandbox_wasm -type f -not -path '*/__pycache__/*')

.PHONY: demo test test-slow test-training lint bench nano nano-gpu clean
.DEFAULT_GOAL := test

demo: $(READY)  ## answer a question over a prompt of ten million tokens
	$(BIN)/rlm-local demo

test: $(READY)  ## the fast tests
	$(BIN)/python -m pytest

test-slow: $(READY)  ## the slow tests, which CI runs too
	$(BIN)/python -m pytest -m slow

test-training: $(READY)  ## those of the training recipes, with PyTorch; CI runs them too
	$(BIN)/pip install -q -e '.[train,sft]'
	$(BIN)/python -m pytest -m 'slow or not slow' tests/models/test_nano_training.py \
	  tests/models/test_nano_export.py tests/models/test_sft.py

lint: $(READY)  ## ruff and mypy --strict
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(READY)  ## all but documents, baselines and gpu; tables on the terminal, JSON in bench/out/
	$(BIN)/pip install -q -e '.[bench]'
	for name in $(BENCHES); do echo "== $$name"; $(BIN)/python -m bench.$$name || exit 1; done

# Steps go on where they were stopped. All files are in WORK, the weights too: those that are
# shipped are left alone.
NANO := $(BIN)/python -m models.nano
WORK := models/nano/work
SEEDS := 1 2
TASKS := 20000
CALLS := 20000
TRAIN :=
nano: $(READY)  ## train a model on all families, and evaluate it: about two hours on 2 cores
	$(BIN)/pip install -q -e '.[train]'
	made=(); for seed in $(SEEDS); do $(NANO).families.generate --count $(TASKS) --seed $$seed \
	  --out $(WORK)/families-$$seed.jsonl & made+=($$!); done; \
	  for one in $${made[@]}; do wait $$one || exit 1; done
	$(NANO).families.generate --families workers --count $(CALLS) --seed 3 --out $(WORK)/workers.jsonl
	$(NANO).families.generate --families mix workers workers --split held --count 168 --seed 5 \
	  --out $(WORK)/held.jsonl
	$(NANO).families.generate --families mix workers workers --count 112 --seed 6 \
	  --out $(WORK)/fresh.jsonl
	$(NANO).families.filter $(SEEDS:%=$(WORK)/families-%.jsonl) $(WORK)/workers.jsonl \
	  --out $(WORK)/dialogues.jsonl
	for name in held fresh; do $(NANO).families.filter $(WORK)/$$name.jsonl || exit 1; done
	$(NANO).tokenizer --data $(WORK)/dialogues.jsonl --out $(WORK)/tokenizer.json
	$(NANO).train $(TRAIN) --data $(WORK)/dialogues.jsonl --tokenizer $(WORK)/tokenizer.json \
	  --probes $(WORK)/held.kept.jsonl $(WORK)/fresh.kept.jsonl --out $(WORK)/run
	$(NANO).plot --log $(WORK)/run/loss.jsonl --out $(WORK)/run/curves.png
	$(NANO).export --checkpoint $(WORK)/run/checkpoint.pt --tokenizer $(WORK)/tokenizer.json \
	  --out $(WORK)/rlm-nano.gguf \
	  --data 'families: seeds $(SEEDS), $(TASKS) tasks each; workers: seed 3, 4 x $(CALLS) calls'
	$(NANO).evaluate --model $(WORK)/rlm-nano.gguf --out $(WORK)/evaluation.json
	$(NANO).families.evaluate --model $(WORK)/rlm-nano.gguf --lengths 8000 128000 \
	  --out $(WORK)/evaluation-families.json

nano-gpu:  ## the same for a GPU: an hour and a half of generating on 2 cores, four minutes of training
	$(MAKE) nano WORK=models/nano/work/gpu SEEDS='21 22 51 52' TASKS=40000 CALLS=100000 \
	  TRAIN='--recipe gpu --device cuda --makers 8 --probe-every 625'

clean:  ## remove the environment; the caches stay
	rm -rf .venv build

# What pip prints is kept in a log; on the terminal only the steps of the two long builds.
export CMAKE_ARGS := -DLLAVA_BUILD=OFF
$(READY): $(BUILT)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo 'Python 3.11 or newer is needed: make PYTHON=/path/to/python3'; exit 1; }
	@test -x $(BIN)/pip || $(PYTHON) -m venv .venv || \
	  { echo 'the module venv is missing: apt-get install python3-venv'; exit 1; }
	@echo 'installing into .venv (the first time builds llama.cpp and the guest: about 15 minutes on 2 cores)'
	@$(BIN)/pip install -v -e '.[test,lint]' 2>&1 | tee .venv/install.log \
	  | grep --line-buffered -oE '^ *(\[[0-9]+/[0-9]+\]|guest: .*|(Downloading|Building wheel for|Successfully installed|ERROR:?) .*)' \
	  || { tail -n 40 .venv/install.log; echo 'setup failed: the whole log is .venv/install.log'; exit 1; }
	@touch $@
