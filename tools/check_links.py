"""Check that a folder of HTML holds together and needs no network.

Like this::

    python tools/check_links.py build/site

What a page leads to (files, anchors) and what its tags load (scripts, styles, pictures)
must be in the folder, and so must what style sheets load. Links to elsewhere are not
followed, but must be whole. Each fault is one line: the page, the link, and what is
wrong with it.
"""

import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

IN_STYLE = re.compile(r"(?:url\(|@import (?!url))[\"']?([^\"'()]+)")


class Page(HTMLParser):
    """The links of a page, each with whether it is loaded, and its anchors."""

    def __init__(self, text):
        super().__init__()
        self.links, self.anchors = [], {""}
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        """Note what one tag leads to, loads and is called."""
        for name, value in attributes:
            if name == "id":
                self.anchors.add(value)
            elif name in ("href", "src"):
                self.links.append((value, name == "src" or tag == "link"))


def fault(folder, file, link, loaded, pages):
    """What is wrong with a link, or nothing."""
    parts = urlsplit(link)
    if parts.scheme == "data":
        return None
    if parts.scheme or parts.netloc:
        if loaded:
            return "loaded from elsewhere"
        whole = parts.scheme == "https" and "." in parts.netloc
        return None if whole else "not a whole https address"
    target = (file.parent / unquote(parts.path)).resolve() if parts.path else file
    if not target.is_file() or not target.is_relative_to(folder):
        return "no such file"
    if target in pages and unquote(parts.fragment) not in pages[target].anchors:
        return "no such anchor"
    return None


def faults(folder):
    """A line for each fault in a folder."""
    folder = folder.resolve()
    pages = {file: Page(file.read_text()) for file in sorted(folder.rglob("*.html"))}
    if not pages:
        yield f"{folder}: no pages"
    links = {file: page.links for file, page in pages.items()}
    for file in sorted(folder.rglob("*.css")):
        links[file] = [(link, True) for link in IN_STYLE.findall(file.read_text())]
    for file, found in links.items():
        for link, loaded in found:
            what = fault(folder, file, link, loaded, pages)
            if what:
                yield f"{file.relative_to(folder)}: {link}: {what}"


if __name__ == "__main__":
    sys.exit("\n".join(faults(Path(sys.argv[1]))) or None)
