"""Copy the course's notebooks to a folder and start Jupyter there."""

import argparse
import re
from collections.abc import Iterator
from pathlib import Path

import minibitnet
from minibitnet.files.writing import claim, place

# A wheel holds the notebooks in the package; a repository, beside it.
PACKAGE = Path(minibitnet.__file__).parent
HOMES = (PACKAGE / "course", PACKAGE.parent)
# Links to modules, and to a page that is not copied
OUTSIDE = re.compile(r"\[[^]\n]*\]\((?:\.\./)?((?:minibitnet|FORMATS)[^)]*)\)")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What ``minibitnet course`` takes."""
    parser.add_argument(
        "directory",
        nargs="?",
        type=Path,
        default=Path("bitnet-course"),
        metavar="DIR",
        help="where to (bitnet-course); existing files are kept",
    )
    parser.add_argument("--solutions", action="store_true", help="copy the answers too")
    parser.add_argument("--no-jupyter", action="store_true", help="copy only")


def run(args: argparse.Namespace) -> int:
    """Copy what is not there yet; start Jupyter."""
    home = next(home for home in HOMES if (home / "notebooks").is_dir())
    files = [(file, args.directory / to) for file, to in choose(home, args.solutions)]
    new = [(file, to) for file, to in files if not to.exists()]
    with claim(args.directory) as part:  # what stops half-way is not kept
        for file, to in new:
            to.parent.mkdir(parents=True, exist_ok=True)
            text = file.read_text("utf-8")
            text = text if to.suffix == ".py" else mend_links(text)
            (part / to.name).write_text(text, "utf-8")
            place(part, to.parent)
    print(f"{args.directory}: {len(new)} files copied, {len(files) - len(new)} kept")
    if args.no_jupyter:
        return 0
    try:
        from jupyterlab import labapp
    except ImportError:
        raise ValueError(
            "JupyterLab is not installed; pip install 'minibitnet[notebooks]'"
        ) from None
    labapp.main([str(args.directory)])
    return 0


def choose(home: Path, solutions: bool) -> Iterator[tuple[Path, Path]]:
    """The files of the course, each with where it goes."""
    yield home / "CHEATSHEET.md", Path("CHEATSHEET.md")
    notebooks = home / "notebooks"
    patterns = ["README.md", "[0-9]*.ipynb", "data/*"]
    for pattern in [*patterns, "solutions/*.*"] if solutions else patterns:
        for file in filter(Path.is_file, sorted(notebooks.glob(pattern))):
            yield file, file.relative_to(notebooks)


def mend_links(text: str) -> str:
    """A text whose links lead nowhere outside the course.

    Examples
    --------
    >>> mend_links("[rope](../minibitnet/rope.py), [the sheet](../CHEATSHEET.md)")
    '`minibitnet/rope.py`, [the sheet](CHEATSHEET.md)'
    """
    return OUTSIDE.sub(r"`\1`", text).replace("](../CHEATSHEET.md", "](CHEATSHEET.md")
