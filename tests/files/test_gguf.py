"""GGUF files: written here and read by gguf-py, and the other way; damaged ones."""

import importlib.util
import io
import random
import struct
import tracemalloc
from collections import Counter

import numpy as np
import pytest
from shared import ROOT

from minibitnet.files.gguf import LARGEST, nbytes, read_gguf
from minibitnet.files.ggufwriter import Spec, header, write_gguf
from minibitnet.files.jsonfile import CheckpointError

METADATA = {
    "general.architecture": "bitnet-b1.58",
    "a.count": 7,
    "a.real": 0.5,
    "a.yes": True,
    "a.words": ["", "é", "日本"],
    "a.numbers": [1, -2, 3],
    "a.reals": [0.5, -1.0],
    "a.none": [],
}
ARRAYS = {
    "norm": ("F32", np.arange(5, dtype=np.float32)),
    "embedding": ("F16", np.arange(24, dtype=np.float16).reshape(3, 8)),
    "bits": ("BF16", np.arange(6, dtype=np.uint16).reshape(2, 3)),
}


def write(path, metadata=METADATA, arrays=ARRAYS, specs=None):
    specs = specs or {name: Spec(t, a.shape) for name, (t, a) in arrays.items()}
    with path.open("wb") as stream:
        write_gguf(stream, metadata, specs, lambda name: [arrays[name][1]])
    return path


def plain(value):
    return value.tolist() if isinstance(value, np.ndarray) else value


def test_what_is_written_is_read(tmp_path):
    found = read_gguf(write(tmp_path / "m.gguf"))
    assert {key: plain(value) for key, value in found.metadata.items()} == METADATA
    assert list(found.tensors) == list(ARRAYS)
    for name, (type_, array) in ARRAYS.items():
        tensor = found.tensors[name]
        assert (tensor.type, tensor.shape) == (type_, array.shape)
        assert tensor.data.tobytes() == array.tobytes()


def test_gguf_py_reads_what_is_written_here(tmp_path):
    gguf = pytest.importorskip("gguf")
    reader = gguf.GGUFReader(write(tmp_path / "m.gguf"))
    assert reader.get_field("general.architecture").contents() == "bitnet-b1.58"
    for key in ("a.count", "a.yes", "a.words", "a.numbers", "a.reals"):
        assert reader.get_field(key).contents() == METADATA[key]
    for tensor in reader.tensors:
        type_, array = ARRAYS[tensor.name]
        assert tensor.tensor_type.name == type_
        assert tensor.data.tobytes() == array.tobytes()


def test_what_gguf_py_writes_is_read_here(tmp_path):
    gguf = pytest.importorskip("gguf")
    writer = gguf.GGUFWriter(tmp_path / "m.gguf", "bitnet-b1.58")
    writer.add_uint32("a.count", 7)
    writer.add_float64("a.wide", 0.1)
    writer.add_int64("a.long", -(2**40))
    writer.add_array("a.words", ["x", "日本"])
    writer.add_custom_alignment(64)
    writer.add_tensor("norm", np.arange(5, dtype=np.float32))
    writer.add_tensor("embedding", np.ones((3, 8), np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    found = read_gguf(tmp_path / "m.gguf")
    assert found.metadata["a.wide"] == 0.1
    assert found.metadata["a.long"] == -(2**40)
    assert found.metadata["a.words"] == ["x", "日本"]
    assert found.tensors["norm"].data.view("<f4").tolist() == [0, 1, 2, 3, 4]
    assert found.tensors["embedding"].shape == (3, 8)


def test_sizes():
    assert nbytes("I2_S", (4, 256)) == 256 + 32
    assert nbytes("Q6_K", (2, 512)) == 4 * 210
    with pytest.raises(
        ValueError, match="rows of a multiple of 256 weights, found 100"
    ):
        nbytes("TQ1_0", (3, 100))


def test_pieces_that_are_not_the_whole_are_refused(tmp_path):
    arrays = {"norm": ("F32", np.zeros(4, np.float32))}
    with pytest.raises(ValueError, match="norm must be 20 bytes, got 16"):
        write(tmp_path / "m.gguf", arrays=arrays, specs={"norm": Spec("F32", (5,))})


def entry(kind, data, key=b"k"):
    return struct.pack("<Q", len(key)) + key + struct.pack("<I", kind) + data


def tensor(name=b"t", sizes=(4,), kind=0, offset=0):
    axes = struct.pack(f"<I{len(sizes)}Q", len(sizes), *sizes)
    return struct.pack("<Q", len(name)) + name + axes + struct.pack("<IQ", kind, offset)


def file_of(entries=(), tensors=(), body=bytes(64), version=3, counts=None):
    counts = counts or (len(tensors), len(entries))
    text = (
        b"GGUF" + struct.pack("<IQQ", version, *counts) + b"".join([*entries, *tensors])
    )
    return text + bytes(-len(text) % 32) + body


DAMAGED = {
    "empty": (b"", "an empty one"),
    "three bytes": (b"GGU", "4 bytes at byte 0"),
    "another magic": (b"PK\3\4" + bytes(40), "at its beginning"),
    "version 1": (file_of(version=1), "version 1"),
    "big-endian": (b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "big-endian.*version 3"),
    "2**63 entries": (file_of(counts=(0, 2**63)), "twice|where the file ends"),
    "2**63 tensors": (file_of(counts=(2**63, 0)), "twice|where the file ends|axes"),
    "a long string": (file_of([entry(8, struct.pack("<Q", 2**62))]), "file ends"),
    "2**61 strings": (file_of([entry(9, struct.pack("<IQ", 8, 2**61))]), "strings"),
    "2**61 numbers": (file_of([entry(9, struct.pack("<IQ", 12, 2**61))]), "file ends"),
    "lists in a list": (file_of([entry(9, struct.pack("<IQ", 9, 1))]), "type 9"),
    "an unknown type": (file_of([entry(13, bytes(8))]), "type 13"),
    "a bool of 2": (file_of([entry(7, b"\2")]), "bool of 2"),
    "no UTF-8": (file_of([entry(8, struct.pack("<Q", 1) + b"\xff")]), "utf-8"),
    "an entry twice": (file_of([entry(0, b"1")] * 2), "'k' twice"),
    "a tensor twice": (file_of(tensors=[tensor()] * 2), "'t' twice"),
    "five axes": (file_of(tensors=[tensor(sizes=(1,) * 5)]), "5 axes of tensor 't'"),
    "type 39": (file_of(tensors=[tensor(kind=39)]), "39 of tensor 't', which is none"),
    "outside": (file_of(tensors=[tensor(offset=64)]), "offset 64"),
    "misaligned": (file_of(tensors=[tensor(offset=4)]), "32 divides"),
    "overlapping": (file_of(tensors=[tensor(), tensor(b"u")]), "16 to 64 are left"),
    "too large": (file_of(tensors=[tensor(sizes=(2**40, 2**40))]), "tensor 't'"),
    "no whole block": (file_of(tensors=[tensor(sizes=(100,), kind=34)]), "'t', exp"),
    "alignment 0": (file_of([entry(4, bytes(4), b"general.alignment")]), "alignment 0"),
    "alignment by name": (
        file_of([entry(8, struct.pack("<Q", 0), b"general.alignment")]),
        "alignment ''",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("content", "message"), DAMAGED.values(), ids=DAMAGED)
def test_what_is_damaged_is_refused(tmp_path, content, message):
    file = tmp_path / "m.gguf"
    file.write_bytes(content)
    tracemalloc.start()
    try:
        with pytest.raises(CheckpointError, match=message) as refusal:
            read_gguf(file)
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (entry(9, struct.pack("<IQ", 0, 10**9)), "bytes before its arrays"),
        (entry(9, struct.pack("<IQ", 8, 10**7)), "10000000 strings"),
        (entry(8, struct.pack("<Q", 10**9)), "bytes before its arrays"),
        (entry(0, b"1", key=bytes(LARGEST)), "bytes before its arrays"),
    ],
    ids=["numbers", "strings", "a string", "a name"],
)
def test_more_metadata_than_any_model_has_is_not_read(tmp_path, value, message):
    file = tmp_path / "m.gguf"
    file.write_bytes(file_of([value]))
    with file.open("rb+") as stream:
        stream.truncate(2 * 10**9)  # of which the disk holds nothing
    tracemalloc.start()
    try:
        with pytest.raises(CheckpointError, match=message):
            read_gguf(file)
        assert tracemalloc.get_traced_memory()[1] < 3 * LARGEST
    finally:
        tracemalloc.stop()


def test_a_file_cut_anywhere_is_refused(tmp_path):
    whole = write(tmp_path / "m.gguf").read_bytes()
    file = tmp_path / "cut.gguf"
    for size in range(len(whole) - 31):  # what fills up the last tensor is not needed
        file.write_bytes(whole[:size])
        with pytest.raises(CheckpointError):
            read_gguf(file)


def change(r, data, length):
    """A bit, a byte, a number or some bytes of the header."""
    at, how = r.randrange(length), r.randrange(4)
    if how == 0:
        data[at] ^= 1 << r.randrange(8)
    elif how == 1:
        data[at] = r.randrange(256)
    elif how == 2:
        data[at : at + 8] = struct.pack("<q", r.choice((-1, 0, 2**62, 2**31)))
    else:
        del data[at : at + r.randrange(1, 9)]


def test_thousands_of_changed_headers_are_read_or_refused(tmp_path):
    r, file, refused = random.Random(0), tmp_path / "m.gguf", 0
    whole = write(file).read_bytes()
    specs = {name: Spec(t, a.shape) for name, (t, a) in ARRAYS.items()}
    for _ in range(3000):
        data = bytearray(whole)
        for _ in range(r.choice((1, 1, 2, 4))):
            change(r, data, len(header(METADATA, specs)))
        file.write_bytes(data)
        try:
            found = read_gguf(file).tensors.values()
        except CheckpointError:
            refused += 1
            continue
        assert all(t.data.size == nbytes(t.type, t.shape) for t in found)
    assert 1000 < refused < 2900


def import_tool(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def assert_gguf_py_agrees(gguf, file, found):
    """The same values and bytes, if gguf-py reads the file at all."""
    try:
        reader = gguf.GGUFReader(file)
        values = {key: field.contents() for key, field in reader.fields.items()}
    except (ValueError, KeyError, IndexError, TypeError, UnicodeError):
        return 0
    for key, value in found.metadata.items():
        same = np.asarray(values[key]).astype(object) == np.asarray(
            plain(value), object
        )
        assert np.all(same | is_nan(value)) or is_rounded(value, values[key]), key
    for tensor in reader.tensors:
        mine = found.tensors[tensor.name]
        assert mine.type == tensor.tensor_type.name
        assert mine.shape == tuple(map(int, tensor.shape[::-1]))
        assert mine.data.tobytes() == tensor.data.tobytes()
    return 1


def is_nan(value):
    return isinstance(value, float) and value != value


def is_rounded(value, other):
    """Whether a number is the shortest decimal of a float32."""
    return isinstance(value, float) and np.float32(value) == np.float32(other)


def test_thousands_of_other_entries_and_tensors_are_read_or_refused(tmp_path):
    gguf, tool = pytest.importorskip("gguf"), import_tool("damaged_gguf")
    whole, file = write(tmp_path / "m.gguf").read_bytes(), tmp_path / "m.gguf"
    r, outcomes = random.Random(1), Counter()
    for number in range(3000):
        file.write_bytes(whole)
        for _ in range(r.choice((1, 1, 2, 3))):
            tool.change_gguf(r, file)
        tracemalloc.start()
        try:
            found, said = read_gguf(file), ""
        except CheckpointError as error:
            found, said = None, str(error)
        assert tracemalloc.get_traced_memory()[1] < 2_000_000, number
        tracemalloc.stop()
        assert said.isprintable()
        outcomes["refused" if said else "read"] += 1
        outcomes["by both"] += 0 if said else assert_gguf_py_agrees(gguf, file, found)
    assert outcomes["refused"] > 1000
    assert outcomes["by both"] > 500


def test_a_stream_takes_the_same_bytes_as_a_file(tmp_path):
    stream = io.BytesIO()
    specs = {name: Spec(t, a.shape) for name, (t, a) in ARRAYS.items()}
    write_gguf(stream, METADATA, specs, lambda name: [ARRAYS[name][1]])
    assert stream.getvalue() == write(tmp_path / "m.gguf").read_bytes()
