# The port in C and the page are the same model: the same stages, the same bits.

import json
import struct

import numpy as np
import pytest
from cport import (
    CHECKPOINTS,
    EXACT,
    RECORDED,
    SOURCE,
    compile_c,
    first_difference,
    ids_for,
    join,
    needs_compiler,
    run_c,
    trace_c,
    trace_page,
)

import minibitnet as mb
from minibitnet import one_page
from minibitnet.stories import BUILT_IN

pytestmark = needs_compiler

every_checkpoint = pytest.mark.parametrize(
    "directory", CHECKPOINTS, ids=lambda directory: directory.name
)


def cuts(T):
    """A text at once, half of it at once, and token by token."""
    return [[T], [size for size in (T // 2, *[1] * (T - T // 2)) if size], [1] * T]


def test_it_compiles_without_a_warning(tmp_path):
    strict = ("-std=c99", "-Wall", "-Wextra", "-pedantic", "-Werror", "-O2")
    assert compile_c(SOURCE, tmp_path / "bitnet", *strict) == ""


def test_its_lines_can_be_printed_and_are_as_many_as_the_table_says():
    lines = []
    for name in ("bitnet.c", "tokenizer.c", "sampling.c"):
        file = SOURCE.with_name(name)
        lines += file.read_text(encoding="ascii").splitlines()
    assert max(map(len, lines)) <= 100
    table = (SOURCE.parents[1] / "README.md").read_text(encoding="utf-8")
    assert f"| C99, three files | {len(lines):,} | greedy text | none |" in table


@pytest.mark.parametrize("level", ["-O0", "-O2"])
@every_checkpoint
def test_every_stage_has_the_bits_of_the_page(programs, level, directory, tmp_path):
    ids = ids_for(directory)
    page = trace_page(directory, ids, [len(ids)])
    for pieces in cuts(len(ids)):
        path = tmp_path / "found.trace"
        found = trace_c(programs(level, EXACT), directory, ids, pieces, path)
        assert [*found] == [*page]
        assert first_difference(found, page) is None


def test_two_thousand_tokens_of_stories_have_the_same_integers(programs, tmp_path):
    model, tokenizer = mb.load()
    card = (BUILT_IN / "MODEL_CARD.md").read_text(encoding="utf-8")  # ends in stories
    ids, length = tokenizer.encode(card)[-2040:], 340
    program = programs("-O3", EXACT)
    for start in range(0, len(ids), length):
        text = ids[start : start + length]
        found = trace_c(program, BUILT_IN, text, [length], tmp_path / "found.trace")
        with mb.trace() as package:  # which is the page, bit for bit, and faster
            mb.forward(model, text)
        for name in found:
            array = package[name]
            if found[name].tobytes() == array.tobytes():
                continue
            # A float64 sum in another order: one in some 10**7 rounds to the neighbour.
            assert not name.endswith((".codes", ".acc", ".scale")), name
            np.testing.assert_array_max_ulp(found[name], array, 1)


def test_two_hundred_greedy_tokens_are_the_story_letter_for_letter(programs):
    story = (RECORDED.parent / "story.txt").read_text(encoding="utf-8")
    start, (_, tokenizer) = "Once upon a time", mb.load()
    words = (BUILT_IN, join(tokenizer.encode(start)), 200)
    status, out, errors = run_c(programs("-O2", EXACT), *words)
    assert (status, errors) == (0, "")
    ids, text = out.decode().split("\n", 1)
    assert len(ids.split()) == 194  # there it ends
    assert start + text == story


@every_checkpoint
def test_it_writes_the_ids_of_the_page(programs, directory):
    ids = ids_for(directory)[:4]
    expected = one_page.generate(*one_page.load(directory), ids, 20)
    status, out, errors = run_c(programs("-O2", EXACT), directory, join(ids))
    assert (status, errors) == (0, "")
    assert [int(token) for token in out.split(b"\n")[0].split()] == expected


def test_it_ends_where_generation_config_says(programs, tmp_path):
    new = one_page.generate(*one_page.load(BUILT_IN), ids_for(BUILT_IN), 9)
    for file in BUILT_IN.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    ends = {"eos_token_id": [4000, new[5]]}
    (tmp_path / "generation_config.json").write_text(json.dumps(ends))
    words = (tmp_path, join(ids_for(BUILT_IN)), 9)
    _, out, _ = run_c(programs("-O2", EXACT), *words)
    assert [*map(int, out.split(b"\n")[0].split())] == new[: new.index(new[5]) + 1]


def test_nothing_is_read_or_written_out_of_bounds(sanitized, tmp_path):
    for directory in sorted(RECORDED.iterdir()):
        ids = ids_for(directory)
        pieces = [len(ids)]
        found = trace_c(sanitized, directory, ids, pieces, tmp_path / "found.trace")
        assert first_difference(found, trace_page(directory, ids, pieces)) is None
    assert run_c(sanitized, BUILT_IN, "4093,484", 3)[0] == 0


def read_safetensors(file):
    raw = file.read_bytes()
    (size,) = struct.unpack("<Q", raw[:8])
    header = json.loads(raw[8 : 8 + size])
    header.pop("__metadata__", None)
    return {
        name: (entry, raw[8 + size :][slice(*entry["data_offsets"])])
        for name, entry in header.items()
    }


def write_safetensors(file, arrays):
    header, end = {}, 0
    for name, (entry, raw) in arrays.items():
        header[name] = entry | {"data_offsets": [end, end + len(raw)]}
        end += len(raw)
    text = json.dumps(header).encode()
    data = b"".join(raw for _, raw in arrays.values())
    file.write_bytes(struct.pack("<Q", len(text)) + text + data)


@pytest.mark.parametrize("dtype", ["F32", "F16"])
def test_other_floats_and_shards_are_read_as_the_page_reads_them(
    sanitized, dtype, tmp_path
):
    source = RECORDED / "packed_tied"
    arrays = read_safetensors(source / "model.safetensors")
    for name, (entry, raw) in arrays.items():
        if entry["dtype"] == "BF16":
            values = (np.frombuffer(raw, "<u2").astype(np.uint32) << 16).view("<f4")
            values = values.astype("<f4" if dtype == "F32" else "<f2")
            if name == "model.embed_tokens.weight" and dtype == "F16":
                values[:3] = [6e-8, -3e-6, 0.0]  # subnormal
            arrays[name] = (entry | {"dtype": dtype}, values.tobytes())
    (tmp_path / "config.json").write_bytes((source / "config.json").read_bytes())
    names = [*arrays]
    for i, part in enumerate((names[::2], names[1::2])):
        shard = tmp_path / f"model-{i}.safetensors"
        write_safetensors(shard, {name: arrays[name] for name in part})
    ids = [0, 1, 5, 100]
    found = trace_c(sanitized, tmp_path, ids, [4], tmp_path / "found.trace")
    assert first_difference(found, trace_page(tmp_path, ids, [4])) is None
