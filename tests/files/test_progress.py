import io
import itertools
import sys

import pytest
import tqdm.std

from minibitnet.files.progress import announce, progress, progress_bar


class Terminal(io.StringIO):
    def isatty(self):
        return True


def show_at(monkeypatch, seconds):
    """Make standard error a terminal; each look at the clock is so much later."""
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setattr(tqdm.std, "time", itertools.count(0, seconds).__next__)
    return sys.stderr


@pytest.mark.parametrize("installed", [True, False])
def test_the_items_are_the_same_with_and_without_a_bar(monkeypatch, capsys, installed):
    if not installed:
        monkeypatch.setitem(sys.modules, "tqdm", None)
    assert list(progress(range(3), "counting")) == [0, 1, 2]
    with progress_bar(3, "counting") as advance:
        advance(1)
        advance(2, "a note")
    assert capsys.readouterr() == ("", "")  # this is no terminal


def test_a_slow_loop_has_a_bar(monkeypatch):
    terminal = show_at(monkeypatch, seconds=3)
    assert list(progress(range(3), "counting")) == [0, 1, 2]
    assert "counting:  67%" in terminal.getvalue()


def test_a_slow_file_has_a_bar_in_its_units_and_a_note(monkeypatch):
    terminal = show_at(monkeypatch, seconds=3)
    with progress_bar(4_000_000, "writing", unit="B", done=1_000_000) as advance:
        advance(1_000_000)
        advance(1_000_000, "nearly there")
    for text in ("writing:  75%", "3.00M/4.00M", "nearly there"):
        assert text in terminal.getvalue()


def test_what_is_quick_has_none(monkeypatch):
    terminal = show_at(monkeypatch, seconds=0.1)
    assert list(progress(range(3), "counting")) == [0, 1, 2]
    with progress_bar(2, "writing") as advance:
        advance(2)
    assert terminal.getvalue() == ""


def test_what_begins_is_said_on_standard_error(capsys):
    announce("writing 1.2 GB")
    assert capsys.readouterr() == ("", "writing 1.2 GB\n")
