# What is not wholly understood is refused, by file and key.

import copy
import json

import pytest

import minibitnet as mb
from minibitnet.files.jsonfile import CheckpointError
from minibitnet.golden.fingerprintfile import is_number, read_fingerprint, to_json
from minibitnet.golden.fingerprints import fingerprint
from minibitnet.golden.quirky import write_quirky

NAN = float("nan")
OTHERS = (True, -1, 10**30, NAN, [[]], {"a": 1}, "x", None)
MEANT = [(("text",), "x"), (("text",), None), (("config", "hidden_act"), "x")]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    model, _ = mb.load(write_quirky(tmp_path_factory.mktemp("quirky")))
    return fingerprint(model, [271, 32, 97], "a text")


@pytest.fixture
def file(tmp_path, made):
    (tmp_path / "f.json").write_text(to_json(made))
    return tmp_path / "f.json"


def test_what_was_written_is_read(file, made):
    assert read_fingerprint(file) == made


def places(value, path=()):
    """The path to every value in a JSON object; of lists the first."""
    yield path
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from places(inner, (*path, key))
    elif isinstance(value, list) and value:
        yield from places(value[0], (*path, 0))


def with_other(made, path, other):
    content = copy.deepcopy(made)
    inner = content
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = other
    return content


def test_any_other_kind_of_value_is_refused_by_its_key(file, made):
    seen = 0
    few = {part: dict([*made[part].items()][:6]) for part in ("weights", "stages")}
    made = made | few  # of each kind some
    for path in places(made):
        if not path or path[0] in ("format", "version", "contract"):
            continue
        for other in OTHERS:
            file.write_text(json.dumps(with_other(made, path, other)))
            if (path, other) in MEANT:
                assert read_fingerprint(file)
                continue
            with pytest.raises(CheckpointError) as error:
                read_fingerprint(file)
            assert str(error.value).startswith(f"{file}: {path[0]}: expected ")
            seen += 1
    assert seen > 500


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        (
            "format",
            "minibitnet-vectors",
            "'minibitnet fingerprint', found 'mini",
        ),
        ("format", None, "found nothing|found None"),
        ("version", 2, "expected 1, found 2"),
        ("version", True, "expected 1, found True"),
        ("contract", 1, "expected 2, found 1"),
        ("contract", 2.0, "expected 2, found 2.0"),
        ("ids", [1] * 65, "expected 1 to 64 token ids"),
        ("remark", "", "expected no such key"),
    ],
)
def test_another_head_is_refused(file, made, key, value, expected):
    file.write_text(json.dumps(made | {key: value}))
    with pytest.raises(CheckpointError, match=f"{key}: .*({expected})"):
        read_fingerprint(file)


@pytest.mark.parametrize(
    ("path", "entry"),
    [
        (("config", "more"), 1),
        (("weights", "model.norm.weight", "more"), "ab" * 32),
        (("weights", "model.layers.0.mlp.up_proj.weight", "values"), "ab" * 32),
        (("stages", "layers.0.no_such_stage"), {"l2": [1, 1, 1], "absmax": [1, 1, 1]}),
        (("stages", "layers.0.q"), {"rows": ["0" * 16] * 3}),
        (("stages", "layers.0.q.acc"), {"l2": [1, 1, 1], "absmax": [1, 1, 1]}),
        (("stages", "layers.0.q.acc"), {"rows": ["0" * 16] * 2}),
        (("stages", "layers.0.q.acc", "rows"), ["F" * 16] * 3),
        (("stages", "layers.0.q", "more"), [1, 1, 1]),
        (("logits", 0, "more"), 1),
        (("logits", 0, "values"), [1.0]),
        (("greedy",), [1] * 17),
    ],
)
def test_what_is_not_looked_at_is_refused(file, made, path, entry):
    file.write_text(json.dumps(with_other(made, path, entry)))
    with pytest.raises(CheckpointError, match=f"{path[0]}: expected"):
        read_fingerprint(file)


@pytest.mark.parametrize(
    "text", ["", "[]", "{", "null", '{"format": NaN}', "[" * 10**5]
)
def test_what_is_no_fingerprint_is_refused(file, text):
    file.write_text(text)
    with pytest.raises(CheckpointError, match=str(file)):
        read_fingerprint(file)


def test_numbers_are_those_of_float32():
    assert all(map(is_number, (0, 1.5, -3e38, 2**31 - 1)))
    assert not any(map(is_number, (4e38, float("inf"), float("nan"), 2**31, True, "1")))
