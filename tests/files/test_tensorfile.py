import hashlib
import os

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from safetensors.numpy import load_file, save_file

from minibitnet import CheckpointError
from minibitnet.checkpoint.configfile import parse_config
from minibitnet.files import published
from minibitnet.files.tensorfile import (
    Spec,
    header,
    let_go,
    read_tensors,
    write_tensors,
)
from minibitnet.checkpoint.synth import tensor_specs

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
    written = header(tensor_specs(parse_config(published.CONFIG)))
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


def test_a_file_that_cannot_be_finished_leaves_nothing_behind(tmp_path):
    with pytest.raises(ValueError, match="bytes must be 5 bytes, got 2"):
        write_tensors(
            tmp_path / "a", {"bytes": Spec("U8", (5,))}, lambda _: [ARRAYS["bytes"][:2]]
        )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("text", "body"),
    [
        (b'{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}', b"123"),  # cut off
        (
            b'{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}',
            b"12345",
        ),  # too long
        (b'{"a":{"dtype":"U8","shape":[9],"data_offsets":[0,4]}}', b"1234"),  # shape
        (b'{"a":{"dtype":"U8","shape":[4],"data_offsets":[4,0]}}', b"1234"),  # reversed
        (
            b'{"a":{"dtype":"U8","shape":[3],"data_offsets":[0,3]},'
            b'"b":{"dtype":"U8","shape":[3],"data_offsets":[1,4]}}',
            b"1234",
        ),  # overlap
        (b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[3,4]}}', b"1234"),  # hole
        (
            b'{"a":{"dtype":"U8","shape":[4611686018427387904,4],"data_offsets":[0,4]}}',
            b"1234",
        ),
        (
            b'{"a":{"dtype":"Q8","shape":[4],"data_offsets":[0,4]}}',
            b"1234",
        ),  # no such dtype
        (b'{"a":{"dtype":"U8","shape":[-4],"data_offsets":[0,4]}}', b"1234"),
        (b'{"a":[]}', b""),
        (b"not JSON", b""),
        (b"\xff\xff\xff\xff", b""),
        (b"", b""),
    ],
)
def test_a_damaged_file_is_refused(tmp_path, text, body):
    file = tmp_path / "a.safetensors"
    file.write_bytes(len(text).to_bytes(8, "little") + text + body)
    with pytest.raises(
        CheckpointError, match="a.safetensors: expected a whole safetensors"
    ):
        read_tensors(file)


@pytest.mark.parametrize(
    "content", [b"", b"1234567", (2**60).to_bytes(8, "little") + b"{}"]
)
def test_a_length_that_is_no_length_is_refused(tmp_path, content):
    file = tmp_path / "a.safetensors"
    file.write_bytes(content)
    with pytest.raises(
        CheckpointError, match="a.safetensors: expected a whole safetensors"
    ):
        read_tensors(file)


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
