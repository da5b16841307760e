# `make check` and `make test` are what CI runs.
.PHONY: check format test

check:
	ruff check .
	ruff format --check .
	mypy
	lint-imports
	python -m numpydoc lint $$(find minibitnet -name '*.py')

format:
	ruff check --fix .
	ruff format .

test:
	python -m pytest --cov
