"""Put the page that shows the model at work, and the model, into one file.

Like this::

    python tools/inline_page.py build/playground.html
    python tools/inline_page.py build/site/playground.html --site

It opens from disk, without a server: a module or a worker that a file could not load
from beside itself is made of a text in it. With ``--site`` its links lead to the pages
of the site in that folder, else to the sources of this repository.
"""

import argparse
import base64
import json
import os
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "ports" / "js"
MODEL = ROOT / "minibitnet" / "stories"
FILES = ("config.json", "tokenizer.json", "model.safetensors")
IMPORT = re.compile(r'from "(\.[^"]+)"')
SOURCE = re.compile(r"(notebooks|minibitnet)/[\w/]+\.py")
POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' blob:; worker-src blob:; "
    "style-src 'unsafe-inline'; img-src data:"
)
START = Path(__file__).with_name("inlined.js")


def collect(name, modules):
    """Put a module behind all that it imports."""
    if name in modules:
        return
    text = (PAGE / name).read_text()

    def to_name(match):
        path = (PAGE / name).parent / match[1]
        found = Path(os.path.normpath(path)).relative_to(PAGE).as_posix()
        collect(found, modules)
        return f'from "@{found}"'

    modules[name] = IMPORT.sub(to_name, text)


def page_of_site(path, site):
    """Where the site has a source."""
    for place in (f"{path}.html", path.replace("/__init__.py", ".py")[:-3] + ".html"):
        if (site / place).exists():
            return place
    raise ValueError(f"{site} has no page of {path}")


def script(content, name=""):
    """A script, or a text with a name in one, which cannot end it."""
    attributes = f' type="text/plain" id="{name}"' if name else ""
    content = content.replace("</", r"<\/")
    return f"<script{attributes}>{content}</script>\n"


def replace_once(text, old, new):
    """A text with another in the place of one that it must have."""
    if text.count(old) != 1:
        raise ValueError(f"expected this once in index.html: {old}")
    return text.replace(old, new)


def inline(place, is_site):
    """The page as one text."""
    modules = {}
    for name in ("page.mjs", "worker.mjs"):
        collect(name, modules)
    sources = "" if is_site else os.path.relpath(ROOT, place.parent) + "/"
    if is_site:
        for name, text in modules.items():
            modules[name] = SOURCE.sub(
                lambda match: page_of_site(match[0], place.parent), text
            )
    contents = {"modules": [*modules.items()], "files": FILES, "sources": sources}
    body = script(json.dumps(contents), "contents")
    for name in FILES:
        body += script(base64.b64encode((MODEL / name).read_bytes()).decode(), name)
    body += script(START.read_text())
    html = (PAGE / "index.html").read_text()
    style = f"<style>\n{(PAGE / 'style.css').read_text()}</style>"
    html = replace_once(html, '<link rel="stylesheet" href="style.css">', style)
    html = replace_once(html, '<script type="module" src="page.mjs"></script>\n', "")
    html = re.sub(r'(Policy" content=)"[^"]+"', rf'\1"{POLICY}"', html)
    return replace_once(html, "</body>", body + "</body>")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("file", type=Path)
    parser.add_argument("--site", action="store_true")
    args = parser.parse_args()
    args.file.parent.mkdir(parents=True, exist_ok=True)
    args.file.write_text(inline(args.file.resolve(), args.site))
