# Everything here needs Python 3.11 or newer, make and a package registry; nothing else.

PYTHON ?= $(firstword $(foreach p,python3.11 python3.12 python3.13 python3,$(shell command -v $(p) 2>/dev/null)))
VENV := .venv
BIN := $(VENV)/bin
RUNS := runs
LANES := -n auto --dist loadfile

.PHONY: help setup demo test scorecard check format bench experiments yardsticks clean

help:
	@echo "make setup   a virtual environment in .venv with everything"
	@echo "make demo    train on handwritten digits, evaluate, predict (a few minutes)"
	@echo "make test    the quick test suite"
	@echo "make scorecard   every promise of docs/reliability.md, tried (a quarter of an hour)"
	@echo "make check   format, lint, types for Linux, macOS and Windows, docs"
	@echo "make format  put the code into the house format"
	@echo "make bench   every benchmark, as one table (long); PHOTOS=, EXPORTED=, DATA=, MODEL= add more"
	@echo "make experiments  the paper's claims as measurements, CIFAR10=FOLDER (six hours; goes on where it stopped)"
	@echo "make yardsticks   what a budget buys, ours and its peers: CIFAR10=FOLDER, CLOTHING=FOLDER, or both (hours)"

# pip must choose torch and torchvision in one command, or they do not match. grad-cam is a peer of the tests, without
# what it asks for: its opencv-python would be laid over the headless one.
$(VENV)/.done: pyproject.toml
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "Python 3.11 or newer is needed: make PYTHON=..."'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[all,dev]'
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps 'grad-cam>=1.5.5'
	touch $@

setup: $(VENV)/.done

demo: setup
	@echo "--- training on the 1,079 training images of the built-in handwritten digits"
	$(BIN)/googlenet train digits --epochs 8 --size 64 --out $(RUNS)/digits --force
	@echo "--- on the 359 test images, which nothing has looked at yet"
	$(BIN)/googlenet evaluate $(RUNS)/digits digits --split test
	@echo "--- three of them as files"
	$(BIN)/googlenet predict $(RUNS)/digits examples/digits --top 2
	@echo "--- the report of the run: $(RUNS)/digits/report.html"

test: setup
	$(BIN)/python -m pytest $(LANES)

scorecard: setup
	$(BIN)/python -m pytest tests/scorecard -m '' $(LANES) --scorecard docs/scorecard.json

check: setup
	$(BIN)/ruff format --check src tests benchmarks experiments
	$(BIN)/ruff check src tests benchmarks experiments
	$(BIN)/mypy
	$(BIN)/mypy --platform darwin
	$(BIN)/mypy --platform win32
	$(BIN)/mypy experiments
	$(BIN)/lint-imports
	$(BIN)/python -m pytest tests/project/test_docs.py tests/project/test_layout.py

format: setup
	$(BIN)/ruff format src tests benchmarks experiments
	$(BIN)/ruff check --fix src tests benchmarks experiments

# PHOTOS=folder of JPEG files adds preprocessing, check and, with EXPORTED=exported folder, files to labels,
# the first answer and a server under load; DATA=folder of class folders adds training from files, MODEL=run drawing units.
bench: setup
	$(BIN)/python benchmarks/all.py $(if $(PHOTOS),--photos $(PHOTOS)) $(if $(EXPORTED),--exported $(EXPORTED)) \
		$(if $(DATA),--data $(DATA)) $(if $(MODEL),--model $(MODEL))

# CIFAR10=folder with train/ and test/ of class folders. What is done is not done again; OPTIONS=--list says what is.
experiments: setup
	$(if $(CIFAR10),,$(error make experiments needs CIFAR10=FOLDER, with train/ and test/ of image files))
	$(BIN)/python experiments/catalogue.py --data $(CIFAR10) --work $(RUNS)/experiments $(OPTIONS)
	$(BIN)/python experiments/render.py

# 12 runs of 60 minutes on CIFAR10, 12 of 30 on CLOTHING (any folder with train/ and validation/).
yardsticks: setup
	$(if $(CIFAR10)$(CLOTHING),,$(error make yardsticks needs CIFAR10=FOLDER or CLOTHING=FOLDER))
	$(if $(CIFAR10),$(BIN)/python experiments/yardsticks.py cifar10 --data $(CIFAR10) --work $(RUNS)/yardsticks $(OPTIONS))
	$(if $(CLOTHING),$(BIN)/python experiments/yardsticks.py clothing --data $(CLOTHING) --work $(RUNS)/yardsticks $(OPTIONS))
	$(BIN)/python experiments/render.py

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache
