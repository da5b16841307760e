import copy
import errno
import hashlib
import json
import os
import sys
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save_file

from minibitnet import CheckpointError
from minibitnet.checkpoint.configfile import parse_config, parse_stored
from minibitnet.checkpoint.synth import tensor_specs
from minibitnet.files import published
from minibitnet.files.tensorfile import header, read_tensors, write_tensors
from minibitnet.files.tensorheader import Spec
from minibitnet.kernels.memory import let_go

ARRAYS = {
    "half": np.arange(6, dtype=np.float16).reshape(2, 3),
    "bytes": np.arange(5, dtype=np.uint8),
    "single": np.float32([[1.5]]),
}
SPECS = {
    "half": Spec("F16", (2, 3)),
    "bytes": Spec("U8", (5,)),
    "single": Spec("F32", (1, 1)),
}


def test_the_library_reads_what_is_written_here(tmp_path):
    file = tmp_path / "a.safetensors"
    write_tensors(file, SPECS, lambda name: [ARRAYS[name]])
    found = load_file(file)
    assert found.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert_array_equal(found[name], array, strict=True)


def test_what_the_library_writes_is_read_here(tmp_path):
    file = tmp_path / "a.safetensors"
    save_file(ARRAYS, file, metadata={"format": "pt"})
    found = read_tensors(file)
    assert found.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert_array_equal(found[name].array, array, strict=True)


def test_both_write_the_same_bytes(tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    write_tensors(here, SPECS, lambda name: [ARRAYS[name]])
    save_file(ARRAYS, there, metadata={"format": "pt"})
    assert here.read_bytes() == there.read_bytes()


def test_the_header_of_2b4t_is_the_real_one():
    config, stored = parse_config(published.CONFIG), parse_stored(published.CONFIG)
    written = header(tensor_specs(config, stored))
    assert len(written) == 61_008
    assert hashlib.sha256(written).hexdigest() == published.HEADER_SHA256


def test_an_array_that_lies_at_an_odd_byte_is_read(tmp_path):
    text = (
        b'{"odd":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},'
        b'"bf":{"dtype":"BF16","shape":[2],"data_offsets":[1,5]}}'
    )
    file = tmp_path / "a.safetensors"
    file.write_bytes(len(text).to_bytes(8, "little") + text + b"\x07\x80\x3f\x00\x40")
    found = read_tensors(file)
    assert_array_equal(found["bf"].array, np.uint16([0x3F80, 0x4000]), strict=True)


def test_a_file_that_cannot_be_finished_is_not_loaded(tmp_path):
    with pytest.raises(ValueError, match="bytes must be 5 bytes, got 2"):
        write_tensors(
            tmp_path / "a", {"bytes": Spec("U8", (5,))}, lambda _: [ARRAYS["bytes"][:2]]
        )
    with pytest.raises(CheckpointError, match="whole safetensors file"):
        read_tensors(tmp_path / "a")


@pytest.fixture(params=["with the library", "alone"])
def either(request, monkeypatch):
    """Whether the safetensors library is there or not, nothing else changes."""
    if request.param == "alone":
        monkeypatch.setitem(sys.modules, "safetensors", None)


def entry(shape="[4]", offsets="[0,4]", dtype='"U8"', more=""):
    return f'{{"dtype":{dtype},"shape":{shape},"data_offsets":{offsets}{more}}}'


def names(**entries):
    listed = (f'"{name}":{text}' for name, text in entries.items())
    return "{" + ",".join(listed) + "}"


DAMAGED = {
    "cut off": (names(a=entry()), b"123"),
    "too long": (names(a=entry()), b"12345"),
    "another shape": (names(a=entry("[9]")), b"1234"),
    "reversed": (names(a=entry(offsets="[4,0]")), b"1234"),
    "reversed, of another dtype": (
        names(a=entry("[0]", "[0,8]", '"I8"'), b=entry("[0]", "[8,4]", '"I8"')),
        b"1234",
    ),
    "an overlap": (names(a=entry("[3]", "[0,3]"), b=entry("[3]", "[1,4]")), b"1234"),
    "a gap": (names(a=entry("[1]", "[3,4]")), b"1234"),
    "more than there is": (names(a=entry("[4611686018427387904,4]")), b"1234"),
    "no number in it": (names(a=entry("[0,9223372036854775808]", "[0,0]")), b""),
    "a hundred axes": (names(a=entry(str([1] * 100), "[0,1]")), b"1"),
    "no such dtype": (names(a=entry(dtype='"Q8"')), b"1234"),
    "a dtype that is no text": (names(a=entry(dtype="[8]")), b"1234"),
    "a negative shape": (names(a=entry("[-4]")), b"1234"),
    "minus nothing": (names(a=entry(offsets="[-0,4]")), b"1234"),
    "a fraction": (names(a=entry(offsets="[0.0,4]")), b"1234"),
    "true": (names(a=entry("[4,true]")), b"1234"),
    "a shape that is no list": (names(a=entry("4")), b"1234"),
    "three offsets": (names(a=entry(offsets="[0,4,4]")), b"1234"),
    "a key twice": (names(a=entry(more=',"dtype":"U8"')), b"1234"),
    "a name twice": (names(a=entry() + ',"a":' + entry()), b"1234"),
    "a key too many": (names(a=entry(more=',"scale":2')), b"1234"),
    "a key missing": (names(a='{"dtype":"U8","shape":[1]}'), b"1"),
    "no entry": (names(a="[]"), b""),
    "half a surrogate pair": (names(**{"\\ud800": entry()}), b"1234"),
    "metadata of numbers": (names(__metadata__='{"a":1}', a=entry()), b"1234"),
    "metadata that is no object": (names(__metadata__="[]", a=entry()), b"1234"),
    "a list": ("[]", b""),
    "no JSON": ("not JSON", b""),
    "too deep": ("[" * 100_000, b""),
    "nothing": ("", b""),
    "a name that a terminal obeys": (names(**{r"\u001b[2J": entry()}), b"1234"),
    "a name of two lines": (names(**{r"a\nb": entry()}), b"1234"),
    "a name without end": (names(**{"a" * 201: entry()}), b"1234"),
}


def write_file(file, text, body):
    text = text if isinstance(text, bytes) else text.encode()
    file.write_bytes(len(text).to_bytes(8, "little") + text + body)


@pytest.mark.usefixtures("either")
@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_file_is_refused(tmp_path, damage):
    file = tmp_path / "a.safetensors"
    write_file(file, *DAMAGED[damage])
    with pytest.raises(
        CheckpointError, match=r"a.safetensors: (expected a whole safetensors|a: .*Q8)"
    ):
        read_tensors(file)


@pytest.mark.usefixtures("either")
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"1234567",
        (2**60).to_bytes(8, "little") + b"{}",
        (4).to_bytes(8, "little") + b"\xff\xff\xff\xff",
        (4).to_bytes(8, "little") + "{}".encode("utf-16-le"),
    ],
)
def test_what_is_no_length_or_no_text_is_refused(tmp_path, content):
    file = tmp_path / "a.safetensors"
    file.write_bytes(content)
    with pytest.raises(
        CheckpointError, match="a.safetensors: expected a whole safetensors"
    ):
        read_tensors(file)


@pytest.mark.usefixtures("either")
@pytest.mark.parametrize("metadata", ["null", '{"format":"pt"}'])
def test_metadata_is_passed_over(tmp_path, metadata):
    file = tmp_path / "a.safetensors"
    write_file(file, names(__metadata__=metadata, a=entry()), b"1234")
    assert read_tensors(file).keys() == {"a"}


# Whatever the library refuses is refused without it.


LISTING = {
    "__metadata__": {"format": "pt"},
    "a": {"dtype": "F32", "shape": [2, 1], "data_offsets": [0, 8]},
    "b": {"dtype": "U8", "shape": [3], "data_offsets": [8, 11]},
    "c": {"dtype": "BF16", "shape": [], "data_offsets": [11, 13]},
}
NUMBERS = st.sampled_from([-1, 0, 1, 2, 3, 8, 11, 12, 13, 14, 2**63, 2**64, 2**65])
WORDS = st.sampled_from(["U8", "F32", "BF16", "I64", "I8", "dtype", "shape", "a", ""])
VALUES = st.recursive(
    st.none() | st.booleans() | st.floats() | NUMBERS | WORDS | st.just("\ud800"),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3)
    ),
    max_leaves=4,
)


@st.composite
def changed_listings(draw):
    """A sound header in which one value, somewhere, is another."""
    listing = copy.deepcopy(LISTING)
    spot, key = listing, draw(st.sampled_from(sorted(listing)))
    while isinstance(spot[key], dict | list) and spot[key] and draw(st.booleans()):
        spot = spot[key]
        keys = sorted(spot) if isinstance(spot, dict) else range(len(spot))
        key = draw(st.sampled_from(keys))
    spot[key] = draw(VALUES)
    return json.dumps(listing).encode()


@st.composite
def changed_texts(draw):
    """A sound header in which a few letters are others."""
    text = json.dumps(LISTING).encode()
    start = draw(st.integers(0, len(text)))
    stop = min(start + draw(st.integers(0, 30)), len(text))
    new = draw(st.text('{}[]",:-.e01234 aFUdtype\\', max_size=6) | st.just(text[:40]))
    new = new.encode() if isinstance(new, str) else new
    again = text[start:stop] if draw(st.booleans()) else b""
    return text[:start] + again + new + text[stop:]


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return tmp_path_factory.mktemp("changed") / "a.safetensors"


@settings(max_examples=400)
@given(
    text=changed_listings() | changed_texts(),
    body=st.sampled_from([13, 13, 13, 12, 14, 8]).map(bytes),
)
def test_what_the_library_refuses_is_refused_without_it(file, text, body):
    write_file(file, text, body)
    try:
        with safe_open(file, framework="numpy"):
            refused = False
    except SafetensorError:
        refused = True
    for modules in ({}, {"safetensors": None}):
        with mock.patch.dict(sys.modules, modules):
            try:
                read_tensors(file)
                assert not refused
            except CheckpointError:  # for more than the library, perhaps
                pass


@pytest.mark.usefixtures("either")
def test_a_sound_header_is_read(file):
    write_file(file, json.dumps(LISTING), bytes(13))
    shapes = {name: tensor.array.shape for name, tensor in read_tensors(file).items()}
    assert shapes == {"a": (2, 1), "b": (3,), "c": ()}


def test_a_dtype_no_weights_have_is_refused_by_name(tmp_path):
    file = tmp_path / "a.safetensors"
    save_file({"steps": np.arange(3)}, file)
    with pytest.raises(CheckpointError, match="steps: expected dtype U8, .* found I64"):
        read_tensors(file)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(CheckpointError, match="gone.safetensors: No such file"):
        read_tensors(tmp_path / "gone.safetensors")


def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path):
    pipe = tmp_path / "a.safetensors"
    os.mkfifo(pipe)
    with pytest.raises(CheckpointError, match="a.safetensors: expected a file"):
        read_tensors(pipe)


def test_a_file_that_cannot_be_mapped_is_named(tmp_path, monkeypatch):
    file = tmp_path / "a.safetensors"
    save_file(ARRAYS, file)

    def refuse(*_, **__):
        raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))

    monkeypatch.setattr(np, "memmap", refuse)
    with pytest.raises(CheckpointError, match="a.safetensors: No such device"):
        read_tensors(file)


@pytest.mark.usefixtures("either")
def test_a_header_that_is_too_large_is_not_read(tmp_path):
    file = tmp_path / "a.safetensors"
    with file.open("wb") as stream:
        stream.write((2**24 + 1).to_bytes(8, "little"))
        stream.truncate(2**25)
    with pytest.raises(CheckpointError, match="a header of 16777217 bytes"):
        read_tensors(file)


def resident(file):
    """Kilobytes of a mapped file that this process has in memory."""
    lines = iter(open("/proc/self/smaps"))
    return sum(
        next(int(rest.split()[1]) for rest in lines if rest.startswith("Rss:"))
        for line in lines
        if line.rstrip().endswith(str(file))
    )


@pytest.mark.skipif(not os.path.exists("/proc/self/smaps"), reason="needs Linux")
def test_what_is_let_go_takes_no_memory_and_is_still_there(tmp_path):
    file = tmp_path / "a.safetensors"
    half = np.arange(2**20, dtype=np.uint8)
    specs = {name: Spec("U8", half.shape) for name in "ab"}
    write_tensors(file, specs, lambda name: [half])
    a, b = (tensor.array for tensor in read_tensors(file).values())
    assert_array_equal(a, half)
    assert_array_equal(b, half)
    before = resident(file)
    let_go(b[1:].reshape(5, -1)[1:])  # a part, and not from where a page begins
    assert before - resident(file) == pytest.approx(0.8 * 1024, abs=20)
    let_go(b)
    let_go(a)
    assert resident(file) < 100
    assert_array_equal(a, half)
    assert_array_equal(b, half)


def test_what_is_not_mapped_is_left_alone():
    array = np.arange(10)
    let_go(array)
    let_go(array[2:4])
    assert_array_equal(array, np.arange(10))


def test_an_array_smaller_than_a_page_stays(tmp_path):
    file = tmp_path / "a.safetensors"
    write_tensors(file, SPECS, lambda name: [ARRAYS[name]])
    tensor = read_tensors(file)["bytes"].array
    let_go(tensor)
    assert_array_equal(tensor, ARRAYS["bytes"])
