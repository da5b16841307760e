import importlib.util
import json
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from shared import ROOT

from minibitnet import course, one_page
from minibitnet.cli import main
from minibitnet.course import rope as course_rope
from minibitnet.course.difference import same
from minibitnet.course.drawing import draw_arrows, draw_cells
from minibitnet.course.exercise import Exercise
from minibitnet.course.stages import PORTS, port_d
from minibitnet.stories import BUILT_IN

NOTEBOOKS = ROOT / "notebooks"
SOURCES = sorted(NOTEBOOKS.glob("[0-9]*.py"))


def stage(source):
    return source.stem.split("_", 1)[1]


def exercises(source):
    module = importlib.import_module(f"{course.__name__}.{stage(source)}")
    found = {n: c for n, c in vars(module).items() if n.startswith("check_")}
    assert len(found) >= 2
    return found


EVERY_PAIR = [(source, name) for source in SOURCES for name in exercises(source)]
EVERY = [pytest.param(s, name, id=f"{s.stem}-{name}") for s, name in EVERY_PAIR]
every_exercise = pytest.mark.parametrize(("source", "name"), EVERY)


@every_exercise
def test_the_solution_is_right(source, name):
    place = NOTEBOOKS / "solutions" / source.name
    spec = importlib.util.spec_from_file_location(f"solutions_{stage(source)}", place)
    solutions = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(solutions)
    verdict = exercises(source)[name](getattr(solutions, name.removeprefix("check_")))
    assert verdict.right, verdict


def known(exercise):
    """Each hint with each answer that it is said of."""
    for hint, variants in exercise.mistakes.items():
        for mistake in variants if isinstance(variants, tuple) else (variants,):
            yield hint, mistake


@every_exercise
def test_each_mistake_is_known_by_its_name(source, name):
    exercise = exercises(source)[name]
    assert exercise.mistakes
    for hint, mistake in known(exercise):
        verdict = exercise(mistake)
        assert verdict.right is False
        assert verdict.text == f"Not right. {hint}"


@every_exercise
def test_the_cases_tell_each_mistake_from_the_answer_and_from_the_others(source, name):
    exercise = exercises(source)[name]
    results = [("right", exercise.values(exercise.right))]
    for hint, mistake in known(exercise):
        values = exercise.values(mistake)
        for other, others in results:
            alike = all(same(*pair) for pair in zip(values, others, strict=True))
            only_dtype = exercise.dtype and other == "right" and "not float32" in hint
            assert alike == only_dtype, (hint, other)
        results.append((hint, values))


@every_exercise
def test_a_check_shows_no_answer(source, name):
    exercise = exercises(source)[name]
    assert repr(exercise) == str(exercise) == "A check: call it with your answer."
    assert dir(exercise) == []


@every_exercise
def test_no_answer_is_not_a_wrong_answer(source, name):
    exercise = exercises(source)[name]
    assert exercise(...).right is None
    if exercise.cases:
        assert exercise(lambda *arguments: ...).right is None


@every_exercise
def test_an_answer_that_nobody_has_thought_of_is_not_right(source, name):
    exercise = exercises(source)[name]
    other = (lambda *arguments: np.zeros(1)) if exercise.cases else 1e9
    assert exercise(other).right is False
    assert exercise("seven").right is False


@every_exercise
def test_the_notebook_has_the_exercise(source, name):
    assert f"{name}(" in source.read_text()


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.stem)
def test_a_notebook_is_what_its_source_says_and_was_run(source):
    text = re.sub(r"\A# ---\n.*?# ---\n", "", source.read_text(), flags=re.DOTALL)
    cells = json.loads(source.with_suffix(".ipynb").read_text())["cells"]
    written = [cell.strip() for cell in re.split(r"^# %%", text, flags=re.M)[1:]]
    assert len(cells) == len(written)
    ran = 0
    for cell, expected in zip(cells, written, strict=True):
        lines = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            marked = "\n".join(f"# {line}".rstrip() for line in lines.split("\n"))
            assert f"[markdown]\n{marked}" == expected
        else:
            assert lines == expected
            ran += 1
            assert cell["execution_count"] == ran
            assert not any(
                output["output_type"] == "error" for output in cell["outputs"]
            )


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.stem)
def test_a_notebook_has_what_every_notebook_has(source):
    text = source.read_text()
    assert re.search(r"^# # \d+\. .*\?$", text, re.M)
    for part in ("You will be able to", " minutes. ", "By hand", "the package"):
        assert part in text
    for part in ("wrong otherwise", "## Exercises", "## Summary", "**Next:**"):
        assert part in text
    assert "getsource" in text
    prose = "\n".join(re.findall(r"^# .*", text, re.M))
    for link in re.findall(r"\]\(([^)#:]+)\)", prose):
        assert (NOTEBOOKS / link).exists(), link


def numbers(text):
    """Of the notebooks that a text names: 5-9 and 5 to 9 are five of them."""
    for first, last in re.findall(r"(\d+)(?:-| to )(\d+)", text):
        text += "".join(f" {n}" for n in range(int(first), int(last)))
    return {int(n) for n in re.findall(r"\d+", text)}


def test_the_table_of_notebooks_says_what_they_say():
    page = (NOTEBOOKS / "README.md").read_text(encoding="utf-8")
    rows = re.findall(
        r"^\| \[(\d+)\]\((.+?)\) \| (.+?) \| (.*?)\| (\d+) \|$", page, re.M
    )
    assert [source.with_suffix(".ipynb").name for source in SOURCES] == [
        r[1] for r in rows
    ]
    for source, (n, _, question, needs, minutes) in zip(SOURCES, rows, strict=True):
        text = source.read_text(encoding="utf-8")
        assert f"# # {n}. {question}\n" in text
        said, before = re.search(r"^# (\d+) minutes\.(.*)$", text, re.M).groups()
        assert minutes == said
        before = re.sub(r"\(.*?\)|[][]", "", before)
        assert numbers(needs) == numbers(before), source


def test_the_answer_sheet_is_that_of_the_notebooks():
    spec = importlib.util.spec_from_file_location(
        "write_answers", ROOT / "tools" / "write_answers.py"
    )
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    page = NOTEBOOKS / "solutions" / "README.md"
    assert page.read_text(encoding="utf-8") == tool.sheet()


def copy(capsys, *words):
    assert main(["course", *map(str, words), "--no-jupyter"]) == 0
    return capsys.readouterr().out


def test_the_course_is_copied_whole_and_its_links_lead_somewhere(tmp_path, capsys):
    place = tmp_path / "course"
    assert "0 kept" in copy(capsys, place, "--solutions")
    expected = [s.with_suffix(".ipynb") for s in SOURCES]
    expected += [NOTEBOOKS / "solutions" / s.name for s in SOURCES]
    expected += [*(NOTEBOOKS / "data").glob("*.*"), *NOTEBOOKS.rglob("*.md")]
    found = {file.relative_to(place) for file in place.rglob("*") if file.is_file()}
    names = {file.relative_to(NOTEBOOKS) for file in expected}
    assert found == names | {Path("CHEATSHEET.md")}
    for page in [*place.glob("*.ipynb"), *place.rglob("*.md")]:
        text = page.read_text(encoding="utf-8")
        if page.suffix == ".ipynb":
            cells = json.loads(text)["cells"]
            prose = [c["source"] for c in cells if c["cell_type"] == "markdown"]
            text = "".join(map("".join, prose))
        for link in re.findall(r"\]\(([^)#:]+)\)", text):
            assert (page.parent / link).exists(), (page.name, link)


def test_answers_are_copied_only_where_asked_for(tmp_path, capsys):
    copy(capsys, tmp_path)
    assert not (tmp_path / "solutions").exists()
    for link in re.findall(r"\]\(([^)#:]+)\)", (tmp_path / "README.md").read_text()):
        assert (tmp_path / link).exists(), link


def test_what_a_student_wrote_stays(tmp_path, capsys):
    copy(capsys, tmp_path)
    (tmp_path / "01_absmean.ipynb").write_text("mine")
    (tmp_path / "02_absmax.ipynb").unlink()
    assert "1 files copied" in copy(capsys, tmp_path)
    assert (tmp_path / "01_absmean.ipynb").read_text() == "mine"


def test_jupyter_is_started_in_the_folder(tmp_path, capsys, monkeypatch):
    calls = []
    labapp = SimpleNamespace(main=calls.append)
    monkeypatch.setitem(sys.modules, "jupyterlab", SimpleNamespace(labapp=labapp))
    assert main(["course", str(tmp_path)]) == 0
    assert calls == [[str(tmp_path)]]
    monkeypatch.setitem(sys.modules, "jupyterlab", None)
    assert main(["course", str(tmp_path)]) == 2
    assert "minibitnet[notebooks]" in capsys.readouterr().err


def test_a_copy_that_stops_half_way_is_not_kept(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("minibitnet.files.writing.os.replace", None)
    with pytest.raises(TypeError):
        main(["course", str(tmp_path), "--no-jupyter"])
    monkeypatch.undo()
    assert "0 kept" in copy(capsys, tmp_path)


DRAWN = [(s, name) for s, name in EVERY_PAIR if exercises(s)[name].draw]


@pytest.mark.parametrize(("source", "name"), DRAWN)
def test_a_mistake_is_drawn(source, name, monkeypatch):
    pytest.importorskip("matplotlib")
    exercise = exercises(source)[name]
    mistakes = [mistake for _, mistake in known(exercise)]
    pictures = {exercise(mistake)._repr_html_() for mistake in mistakes[:2]}
    assert len(pictures) == 2
    for picture in pictures:
        assert re.search(
            '^<pre>Not right. .*</pre><img alt="yours and right" src="data', picture
        )
    assert exercise(exercise.right)._repr_html_() is None
    assert exercise(...)._repr_html_() is None
    other_shape = exercise(lambda *arguments: np.zeros(1))
    assert other_shape._repr_html_() is None
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert exercise(next(iter(exercise.mistakes.values())))._repr_html_() is None


def test_what_is_drawn_is_the_first_case_that_differs():
    cases = [(np.array([1, 1]),), (np.array([1, 3]),)]
    check = Exercise(right=lambda x: x**2, cases=cases, draw=lambda *given: given)
    case, found, right = check(np.abs).draw()
    assert (case[0].tolist(), found.tolist(), right.tolist()) == (
        [1, 3],
        [1, 3],
        [1, 9],
    )


def test_cells_that_differ_are_orange():
    pytest.importorskip("matplotlib")
    found, right = np.array([[1, 2]]), np.array([[1, 3]])
    panels = draw_cells((), found, right).axes
    assert [axes.get_title() for axes in panels] == ["yours", "right"]
    texts = [[text.get_text() for text in axes.texts] for axes in panels]
    assert texts == [["1", "2"], ["1", "3"]]
    for axes in panels:
        assert axes.images[0].get_array().tolist() == [[0, 0.6]]


def test_arrows_go_where_the_pairs_go():
    pytest.importorskip("matplotlib")
    before, found, right = np.arange(12.0).reshape(3, 4)
    found[0] = np.inf  # some answers are
    panels = draw_arrows((before, 1, 1e4), found, right).axes
    for j, axes in enumerate(panels):
        arrows = {a.get_label(): (a.U.item(), a.V.item()) for a in axes.collections}
        assert arrows["before"] == (before[j], before[j + 2])
        assert arrows["right"] == (right[j], right[j + 2])
        assert arrows["yours"] == ((found[j], found[j + 2]) if j else (1, 6))


def test_the_ports_have_the_mistakes_that_the_notebook_tells_of():
    ids = [4093, 5, 300, 17]
    config, weights = one_page.load(BUILT_IN)

    def stages(page):
        page.forward(config, weights, ids, [], trace := {})
        return {n.removeprefix("layers.0."): a for n, a in trace.items()}

    right, a, b, c, d = map(stages, (one_page, *PORTS.values(), port_d))
    scale = one_page.ternary(config, weights, "model.layers.0.self_attn.q_proj", 256)[1]
    np.testing.assert_allclose(a["q"], right["q"] / scale**2, rtol=1e-5)
    for position, head in np.ndindex(4, 8):
        q = right["q"].reshape(4, 8, 32)[position, head]
        expected = course_rope.turned_neighbours(q, position, config["rope_theta"])
        np.testing.assert_allclose(b["q.rope"][position, head], expected, atol=1e-5)
    silu = right["gate"] / (1 + np.exp(-right["gate"])) * right["up"]
    np.testing.assert_allclose(c["relu2_gate"], silu, rtol=1e-4, atol=1e-6)
    with_one, with_other = (s["attn_weights"] for s in (right, d))
    same = [np.array_equal(*heads) for heads in zip(with_one, with_other, strict=True)]
    assert same == [h // 4 == h % 2 for h in range(8)]
