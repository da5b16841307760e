# `make check`, `make test` and `make site` are what CI runs; and the course, from the wheel.
.PHONY: check course damage format mutants notebooks playground same site test

check:
	ruff check .
	ruff format --check .
	mypy
	lint-imports
	python tools/sizes.py

format:
	ruff check --fix .
	ruff format .

test:
	python -m pytest -n auto --cov

# The same integers, scales and greedy texts on other hardware, kernels, threads, cuts:
# the table of the README. `--quick` is what CI runs.
same:
	python tools/same_numbers.py

# A hundred thousand damaged checkpoints: each loads as what it says, or is refused.
damage:
	python tools/mutate_files.py

# Run every notebook, where `minibitnet course` copies them.
course:
	rm -rf build/course
	minibitnet course build/course --no-jupyter
	jupyter execute --timeout=120 build/course/*.ipynb

# Change every answer of the course in every small way: no check may be fooled.
mutants:
	python tools/mutate_solutions.py

# Make the notebooks anew from their sources, notebooks/*.py.
notebooks:
	cd notebooks && jupytext --to ipynb --execute [0-9]*.py

# README, course, cheat sheet and modules as pages: build/site/index.html.
site:
	rm -rf build/site build/site-source
	python tools/stage_site.py build/site-source
	python -m sphinx -q -W --keep-going -c tools/site -d build/site-source/.doctrees build/site-source build/site
	python tools/inline_page.py build/site/playground.html --site
	python tools/check_links.py build/site

# The page that shows the model at work, and the model, in one file, opened from disk.
playground:
	python tools/inline_page.py build/playground.html
