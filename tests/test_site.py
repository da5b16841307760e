import subprocess
import sys

import pytest
from shared import ROOT

HOME = """
<h1 id="home">Home</h1> <link rel="stylesheet" href="style.css"> <img src="a%20b.png">
<a href="#home">up</a> <a href="sub/page.html#part">a part</a> <a href="">here</a>
<a href="https://example.org/x">elsewhere</a> <img src="data:image/png;base64,AAAA">
"""
PAGE = '<p id="part">A part</p> <a href="../index.html">back</a>'


def check(folder):
    command = [sys.executable, str(ROOT / "tools" / "check_links.py"), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.returncode, done.stderr


@pytest.fixture
def site(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "index.html").write_text(HOME)
    (tmp_path / "sub" / "page.html").write_text(PAGE)
    (tmp_path / "style.css").write_text("a { background: url('a b.png') }")
    (tmp_path / "a b.png").write_bytes(b"")
    return tmp_path


def test_a_folder_that_holds_together_passes(site):
    assert check(site) == (0, "")


@pytest.mark.parametrize(
    ("broken", "what"),
    [
        ('<a href="sub/other.html">', "no such file"),
        ('<a href="sub/">', "no such file"),
        ('<a href="sub/page.html#other">', "no such anchor"),
        ('<a href="#other">', "no such anchor"),
        ('<img src="other.png">', "no such file"),
        ('<script src="https://example.org/x.js"></script>', "loaded from elsewhere"),
        ('<link href="//example.org/x.css">', "loaded from elsewhere"),
        ('<a href="http://example.org/">', "not a whole https address"),
        ('<a href="https:/example.org/">', "not a whole https address"),
    ],
)
def test_a_broken_link_is_named(site, broken, what):
    (site / "index.html").write_text(HOME + broken)
    link = broken.split('"')[1]
    assert check(site) == (1, f"index.html: {link}: {what}\n")


def test_a_font_from_elsewhere_is_named(site):
    (site / "style.css").write_text("@font-face { src: url(https://example.org/f) }")
    assert check(site)[1] == (
        "style.css: https://example.org/f: loaded from elsewhere\n"
    )
