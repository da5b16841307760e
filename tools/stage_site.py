"""Put the pages of the site together in one folder, for Sphinx to make HTML of.

Like this::

    python tools/stage_site.py build/site-source

Everything has the place it has here, but for the README, which is the home page. Each
module gets a page, in the order in which the docstring of its package names it. What
else a link leads to comes along: a script, or a folder of scripts, as a page that shows
it; another folder as a zip file; a picture as it is.
"""

import json
import re
import shutil
import sys
from os.path import relpath
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TEXTS = (
    "*.md",
    "benchmarks/README.md",
    "minibitnet/stories/MODEL_CARD.md",
    "notebooks/README.md",
    "notebooks/solutions/README.md",
    "ports/README.md",
    "ports/c/README.md",
    "ports/js/README.md",
    "vectors/v1/README.md",
)
# Their functions say little without their code.
SHOWN_AS_SCRIPTS = {
    *(Path("minibitnet/commands"), Path("minibitnet/course")),
    Path("minibitnet/one_page.py"),
}
LINK = re.compile(r"\]\(([^)#\s]+)")
LANGUAGES = {".py": "python", ".cff": "yaml"}
MODULE_PAGE = """\
{title}
{line}

{code}

.. automodule:: {name}
   :members:
   :ignore-module-all:

{toctree}
"""


def write(file, text):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def offer(path, stage):
    """The place in the site of what a link leads to, which is put there if need be."""
    if (ROOT / path / "README.md").exists():
        path /= "README.md"
    if path.suffix in (".md", ".ipynb"):
        return Path("index.md") if path == Path("README.md") else path
    if path.suffix in (".png", ".svg"):
        return copied(path, stage)
    as_scripts = SHOWN_AS_SCRIPTS.intersection([path, *path.parents])
    if path.parts[0] == "minibitnet" and not as_scripts:
        return module_place(path)
    if (ROOT / path).is_file() or scripts(path):
        return shown(path, stage)
    return zipped(path, stage)


def copied(path, stage):
    (stage / path).parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(ROOT / path, stage / path)
    return path


def zipped(path, stage):
    shutil.make_archive(stage / path, "zip", ROOT / path)
    return Path(f"{path}.zip")


def scripts(path):
    return sorted((ROOT / path).glob("*.py"))


def shown(path, stage):
    """A page that shows a file, or each script of a folder under its name."""
    page = f"---\norphan: true\n---\n# {path}\n"
    for file in scripts(path) or [ROOT / path]:
        heading = f"\n## `{file.name}`\n" if file != ROOT / path else ""
        language = LANGUAGES.get(file.suffix, "text")
        page += f"{heading}\n~~~~{language}\n{file.read_text()}~~~~\n"
    write(stage / f"{path}.md", page)
    return Path(f"{path}.md")


def mend(text, path, stage):
    """The text of a page, its links to files here made to hold in the site."""

    def lead(match):
        target = (ROOT / path).parent / match[1]
        if not target.exists():
            return match[0]  # to another site, or broken, which Sphinx will say
        found = offer(target.resolve().relative_to(ROOT), stage)
        return f"]({relpath(found, path.parent)}"

    # A doctest at the end of a block of code needs an empty line there; a reader not.
    return LINK.sub(lead, text).replace("\n\n```\n\n", "\n```\n\n")


def stage_text(path, stage):
    write(stage / offer(path, stage), mend((ROOT / path).read_text(), path, stage))


def stage_notebook(path, stage):
    notebook = json.loads((ROOT / path).read_text())
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            cell["source"] = mend("".join(cell["source"]), path, stage)
    write(stage / path, json.dumps(notebook))


def module_place(path):
    path = path.parent if path.stem == "__init__" else path
    return path.with_suffix(".rst")


def modules(package):
    """The modules of a package, as its docstring names them, and then the others."""
    text = (ROOT / package / "__init__.py").read_text()
    inside = set((ROOT / package).glob("[!_]*.py"))
    inside |= {file.parent for file in (ROOT / package).glob("*/__init__.py")}

    def mention(path):
        found = re.search(rf"[`.]{path.stem}`", text)
        return found.start() if found else len(text), path.stem

    paths = {path.relative_to(ROOT) for path in inside} - SHOWN_AS_SCRIPTS
    return sorted(paths, key=mention)


def stage_module(path, stage):
    """The page of a module; for a package, those of its modules too."""
    inside = [] if path.suffix else modules(path)
    place = module_place(path)
    name = ".".join(place.with_suffix("").parts)
    title = name.partition(".")[2] or "The package"
    file = ROOT / (path if path.suffix else path / "__init__.py")
    documents = re.search(r"^(def|class) [^_]", file.read_text(), re.MULTILINE)
    code = relpath(Path("_modules") / place.with_suffix(".html"), place.parent)
    entries = [f"   {p.stem} </{p.with_suffix('').as_posix()}>" for p in inside]
    toctree = "\n".join([".. toctree::", "   :hidden:", "", *entries])
    page = MODULE_PAGE.format(
        title=title,
        line="=" * len(title),
        name=name,
        code=f"`Read the code <{code}>`__" if documents else "",
        toctree=toctree if inside else "",
    )
    write(stage / place, page)
    for module in inside:
        stage_module(module, stage)


def main(stage):
    for pattern in TEXTS:
        for file in ROOT.glob(pattern):
            stage_text(file.relative_to(ROOT), stage)
    for file in ROOT.glob("notebooks/*.ipynb"):
        stage_notebook(file.relative_to(ROOT), stage)
    with (stage / "index.md").open("a") as home:
        home.write((ROOT / "tools" / "site" / "contents.md").read_text())
    stage_module(Path("minibitnet"), stage)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
