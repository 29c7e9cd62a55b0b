# Every target sets up what it needs in .venv; only Python 3.11 or 3.12 and make are
# asked for.
PYTHON ?= $(shell for python in python3.12 python3.11 python3; do \
	$$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' \
	2>/dev/null && echo $$python && break; done)
RUN = TF_CPP_MIN_LOG_LEVEL=3 .venv/bin/python

.PHONY: demo test test-all lint

.venv/installed: requirements.txt setup.py
	@test -n "$(PYTHON)" || { echo "error: Python 3.11 or 3.12 is needed"; exit 1; }
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --disable-pip-version-check \
		--requirement requirements.txt
	.venv/bin/python -m pip install --quiet --disable-pip-version-check \
		--no-deps --editable .
	touch $@

demo: .venv/installed
	$(RUN) -m models_genesis_tf.make_phantoms --dataset=luna16 --cases=10 \
		--output_dir=demo/scans
	$(RUN) -m models_genesis_tf.extract_cubes --data_dir=demo/scans \
		--output_dir=demo/cubes --cube_size=32,32,16 --cubes_per_volume=32 \
		--acceptance=foreground
	$(RUN) -m models_genesis_tf.preview \
		--input=$$(ls demo/scans/subset0/*.mhd | head -n 1) --output=demo/preview.png
	$(RUN) -m models_genesis_tf.pretrain --flagfile=flags/pretrain_demo.cfg \
		--data_dir=demo/cubes --output_dir=demo/run

test: .venv/installed
	$(RUN) -m pytest -n 2 --dist loadfile

test-all: .venv/installed lint
	$(RUN) -m pytest -n 2 --dist loadfile -m "slow or not slow" --durations=15

lint: .venv/installed
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
