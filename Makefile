# `make check`, `make test` and `make course` are what CI runs.
.PHONY: check course format notebooks test

check:
	ruff check .
	ruff format --check .
	mypy
	lint-imports
	python -m numpydoc lint $$(find minibitnet -name '*.py' -not -path '*/course/*')

format:
	ruff check --fix .
	ruff format .

test:
	python -m pytest --cov

# Run every notebook, as it is committed.
course:
	python -m pytest -o addopts= --nbmake --nbmake-timeout=120 notebooks/*.ipynb

# Make the notebooks anew from their sources, notebooks/*.py.
notebooks:
	cd notebooks && jupytext --to ipynb --execute [0-9]*.py
