"""The layout of a file of any kind, and what nobody can tell of it."""

import json
import shutil

import numpy as np
import pytest

from minibitnet.checkpoint import rowpairs
from minibitnet.checkpoint.convert import convert
from minibitnet.checkpoint.detect import find_layout
from minibitnet.checkpoint.open import open_checkpoint
from minibitnet.checkpoint.packedbytes import Stored, read_file
from minibitnet.checkpoint.rowpairs import choose, read_pairs, weigh
from minibitnet.checkpoint.synth import SMALL, write_checkpoint
from minibitnet.files.ggufwriter import Spec, write_gguf
from minibitnet.files.jsonfile import CheckpointError, CheckpointWarning
from minibitnet.files.tensorfile import WEIGHTS, spec_of, write_tensors
from minibitnet.formats import LAYOUTS
from minibitnet.stories import BUILT_IN
from minibitnet.weights import GGUF

UP = "model.layers.0.mlp.up_proj.weight"
M, N = 688, 256
TURNED = {0: "q_proj", 1: "k_proj"}


def codes(name=UP):
    [stored] = read_file(BUILT_IN, name).packed
    return LAYOUTS["packed"].unpack(stored.data, *stored.shapes[0])


def write_arrays(file, arrays):
    write_tensors(
        file, {n: spec_of(a) for n, a in arrays.items()}, lambda name: [arrays[name]]
    )
    return file


def write_built_in(file, layout, change=lambda name, w_codes: w_codes):
    """The built-in model's matrices as a GGUF file has them, but for the odd ones."""
    name = "token_embd.weight"
    arrays = {name: np.ones((2, 256), np.float32)}
    specs = {name: Spec("F32", (2, 256))}
    for name, tensor in open_checkpoint(BUILT_IN).tensors.items():
        inner = name.split(".", 3)[-1].removesuffix(".weight")
        if not name.startswith("model.layers.") or inner not in GGUF:
            continue
        new = f"blk.{name.split('.')[2]}.{GGUF[inner]}.weight"
        if tensor.dtype != "U8":
            arrays[new], specs[new] = tensor.array, Spec("BF16", tensor.array.shape)
        elif not name.endswith("down_proj.weight"):
            w_codes = change(name, codes(name))
            arrays[new] = LAYOUTS[layout].pack(w_codes)
            specs[new] = Spec(layout[:5].upper().strip("_"), w_codes.shape)
    metadata = {"general.architecture": "bitnet-b1.58"}
    for key, value in {
        "vocab_size": 4096,
        "context_length": 384,
        "embedding_length": 256,
        "block_count": 6,
        "feed_forward_length": 688,
        "attention.head_count": 8,
        "attention.head_count_kv": 2,
        "attention.layer_norm_rms_epsilon": 1e-5,
        "rope.freq_base": 10000.0,
    }.items():
        metadata[f"bitnet-b1.58.{key}"] = value
    metadata["tokenizer.ggml.eos_token_id"] = 4095
    with file.open("wb") as stream:
        write_gguf(stream, metadata, specs, lambda name: [arrays[name]])
    return file


def as_neighbours(name, w_codes):
    """Rows of q and k in the order of programs that turn neighbours."""
    if not name.endswith(("q_proj.weight", "k_proj.weight")):
        return w_codes
    heads = w_codes.reshape(-1, 2, 16, w_codes.shape[1])
    return heads.swapaxes(1, 2).reshape(w_codes.shape)


def test_a_checkpoint_is_told_by_all_its_matrices():
    for path in (BUILT_IN, BUILT_IN / WEIGHTS):
        found = find_layout(path)
        assert found.verdict.layouts == ("packed",)
        assert found.verdict.sure
        assert len(found.tensors) == 3 * 7
        assert found.order == "halves"


@pytest.mark.parametrize("layout", ["i2_s", "i2_s_arm", "i2_s_rows"])
def test_the_three_kinds_of_i2_s_are_told_by_a_whole_file(tmp_path, layout):
    file = write_built_in(tmp_path / "model.gguf", layout)
    for path in (file, tmp_path):
        found = find_layout(path)
        assert (found.verdict.layouts, found.order) == ((layout,), "halves")
        assert found.verdict.sure


@pytest.mark.parametrize("layout", ["tq1_0", "tq2_0"])
def test_rows_of_q_and_k_in_another_order_are_seen(tmp_path, layout):
    file = write_built_in(tmp_path / "model.gguf", layout, as_neighbours)
    found = find_layout(file)
    assert (found.verdict.layouts, found.order) == ((layout,), "neighbours")


def test_of_random_weights_no_order_is_known(tmp_path):
    write_checkpoint(tmp_path, SMALL)
    found = find_layout(tmp_path)
    assert "packed" in found.verdict.layouts
    assert not found.verdict.sure
    assert found.order == "unknown"
    assert max(map(abs, found.evidence.values())) < rowpairs.CLEAR


def test_an_order_is_one_that_is_clear_alone():
    assert choose({"halves": 5, "neighbours": 3}) == "halves"
    assert choose({"halves": 5, "neighbours": 6}) == "unknown"
    assert choose({"halves": 3, "neighbours": -9}) == "unknown"


def test_rows_need_whole_q_and_k():
    file = read_file(BUILT_IN)
    alone = [stored for stored in file.packed if "k_proj" not in stored.name]
    assert [*read_pairs(alone, "packed", file.config)] == []
    assert weigh([], file.config) == {"halves": 0, "neighbours": 0}

    def changed(**changes):
        damaged = [
            stored._replace(**changes) if ".3.self_attn.q" in stored.name else stored
            for stored in file.packed
        ]
        return len([*read_pairs(damaged, "packed", file.config)])

    assert changed() == 6
    assert changed(shapes=[(128, 512)]) == 5  # not as the config has it
    assert changed(data=np.full(16384, 255, np.uint8)) == 5


def test_two_rows_that_have_nothing_in_common():
    config = read_file(BUILT_IN).config
    zeros = np.zeros((256, 8), np.int8), np.zeros((64, 8), np.int8)
    assert weigh([zeros], config) == {"halves": 0, "neighbours": 0}


def test_one_tensor_with_what_the_file_knows_of_it():
    found = find_layout(BUILT_IN, UP)
    assert (found.tensors, found.shape) == ([UP], (M, N))
    assert found.verdict.layouts == ("packed",)
    assert found.order is None
    with pytest.raises(CheckpointError, match=r"a packed tensor no\.such, found model"):
        find_layout(BUILT_IN, "no.such")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_bytes_alone(tmp_path, layout):
    w_codes = codes()[:, :256]
    data = LAYOUTS[layout].pack(w_codes)
    raw, array = tmp_path / "w.bin", tmp_path / "w.npy"
    raw.write_bytes(data)
    np.save(array, data)
    for file in (raw, array):
        found = find_layout(file, rows=M, columns=256)
        assert layout in found.verdict.layouts
        alone = found.verdict.layouts == (layout,)
        assert found.verdict.sure == (alone and not layout.startswith("tl"))
        assert (found.tensors, found.shape) == ([file.name], (M, 256))


def test_the_shape_of_the_bytes_says_the_shape_of_the_matrix(tmp_path):
    """Four rows in one of the checkpoint's; four columns in one of the GPU's."""
    w_codes = codes()
    np.save(tmp_path / "a.npy", LAYOUTS["packed"].pack(w_codes).reshape(M // 4, N))
    found = find_layout(tmp_path / "a.npy")
    assert (found.shape, found.verdict.layouts[0]) == ((M, N), "packed")
    np.save(tmp_path / "b.npy", LAYOUTS["gpu_int2"].pack(w_codes).reshape(M, N // 4))
    found = find_layout(tmp_path / "b.npy")
    assert (found.shape, found.verdict.layouts) == ((M, N), ("gpu_int2",))
    arrays = {UP: LAYOUTS["gpu_int2"].pack(w_codes).reshape(M, N // 4)}
    found = find_layout(write_arrays(tmp_path / "c.safetensors", arrays))
    assert (found.shape, found.verdict.layouts) == ((M, N), ("gpu_int2",))


def test_a_safetensors_file_may_have_other_bytes(tmp_path):
    other = np.arange(6, dtype=np.uint8)
    arrays = {"flat": other, "gain": np.ones(4, np.float32)}
    file = write_arrays(tmp_path / "w.safetensors", arrays)
    with pytest.raises(CheckpointError, match="expected packed tensors, found none"):
        find_layout(file)
    arrays |= {"a.b.weight": other.reshape(2, 3), "x.y.z.weight": other.reshape(3, 2)}
    found = find_layout(write_arrays(file, arrays))
    assert (len(found.tensors), found.order) == (2, None)


def test_gains_of_any_kind_of_number(tmp_path):
    name = "model.layers.0.input_layernorm.weight"
    for dtype in (np.float32, np.float16):
        gains = np.linspace(0, 1, N).astype(dtype)
        arrays = {UP.replace("mlp.up", "self_attn.q"): codes()[: M // 4].view(np.uint8)}
        arrays[name] = gains
        write_arrays(tmp_path / "w.safetensors", arrays)
        [stored] = read_file(tmp_path).packed
        np.testing.assert_array_equal(stored.inputs, gains.astype(np.float32))
        assert stored.inputs.dtype == np.float32
        assert stored.outputs is None


def test_numbers_that_are_not_packed_are_called_so(tmp_path):
    for dtype, word in (("i1", "bytes"), ("<f2", "16-bit"), ("<f4", "32-bit")):
        file = tmp_path / "w.bin"
        file.write_bytes(codes().astype(dtype).tobytes())
        found = find_layout(file, rows=M, columns=N)
        assert found.verdict.layouts == ()
        assert word in found.guesses[0].why
        assert "not packed" in found.guesses[0].why
    np.save(tmp_path / "w.npy", codes().astype("<f4"))
    with pytest.raises(CheckpointError, match="expected packed bytes, found float32"):
        find_layout(tmp_path / "w.npy")


@pytest.mark.parametrize("size", [0, 1, 999])
def test_a_shape_that_is_far_from_the_bytes_costs_nothing(tmp_path, size):
    file = tmp_path / "w.bin"
    file.write_bytes(bytes(size))
    found = find_layout(file, rows=2**31 - 1, columns=2**31 - 1)
    assert found.verdict.layouts == ()
    assert found.guesses[0].why.startswith(f"{size} bytes are no matrix of")


def test_what_is_missing_is_said(tmp_path):
    raw, array = tmp_path / "w.bin", tmp_path / "w.npy"
    raw.write_bytes(bytes(64))
    np.save(array, np.zeros(64, np.uint8))
    with pytest.raises(CheckpointError, match="expected --rows and --columns with"):
        find_layout(raw)
    with pytest.raises(CheckpointError, match=r"two axes, or .* found \(64,\)"):
        find_layout(array)
    with pytest.raises(ValueError, match="must be given together"):
        find_layout(raw, rows=4)
    with pytest.raises(ValueError, match="those of one of 42"):
        find_layout(BUILT_IN, rows=4, columns=64)
    with pytest.raises(CheckpointError, match="No such file"):
        find_layout(tmp_path / "none.bin", rows=4, columns=64)


def test_a_damaged_array_is_refused(tmp_path):
    file = tmp_path / "w.npy"
    np.save(file, np.zeros((16, 64), np.uint8))
    whole = file.read_bytes()
    damaged = {
        "empty": b"",
        "magic": whole[:6],
        "cut": whole[:-1],
        "huge": whole.replace(b"(16, 64)", b"(2**62,)"),
        "larger": whole.replace(b"(16, 64)", b"(99**9,)"),
        "quote": whole.replace(b"'descr'", b"'descr "),
        "brace": whole.replace(b"}", b" "),
        "object": whole.replace(b"|u1", b"|O8"),
    }
    for name, raw in damaged.items():
        file.write_bytes(raw)
        with pytest.raises(CheckpointError, match="expected a NumPy array"):
            find_layout(file)
        assert raw != whole, name


def test_a_directory_of_neither_or_of_two(tmp_path):
    with pytest.raises(CheckpointError, match="found 0"):
        find_layout(tmp_path)
    for name in ("a.gguf", "b.gguf"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(CheckpointError, match="found 2"):
        find_layout(tmp_path)


def test_a_model_of_another_kind_is_looked_at_without_its_config(tmp_path):
    shutil.copyfile(BUILT_IN / WEIGHTS, tmp_path / WEIGHTS)
    content = json.loads((BUILT_IN / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(content | {"hidden_act": "gelu"}))
    with pytest.warns(CheckpointWarning, match="done without a config: .*gelu"):
        found = find_layout(tmp_path)
    assert (found.verdict.layouts[0], found.order) == ("packed", None)


def test_a_file_of_zeros_in_a_checkpoint_is_no_layout(tmp_path):
    file = write_checkpoint(tmp_path, SMALL) / WEIGHTS
    tensors = {
        name: np.array(t.array) for name, t in open_checkpoint(tmp_path).tensors.items()
    }
    for array in tensors.values():
        if array.dtype == np.uint8:
            array[:] = 0
    write_arrays(file, tensors)
    found = find_layout(tmp_path)
    assert (found.verdict.layouts, found.order) == ((), None)


def test_names_that_have_no_layer():
    from minibitnet.checkpoint.detect import of_some_layers

    names = ["w", "model.layers.1.x", "model.layers.2.x", "model.layers.x.x"]
    names += [f"model.layers.{n}.x" for n in (3, 4, 5, "1" * 99, "²")]
    packed = [Stored(name, np.zeros(1, np.uint8), [(1, 4)]) for name in names]
    chosen = [stored.name for stored in of_some_layers(packed)]
    assert chosen == [names[n] for n in (0, 2, 3, 6, 7, 8)]


def test_a_tensor_of_a_gguf_file_has_either_name(tmp_path):
    file = tmp_path / "m.gguf"
    convert(
        write_checkpoint(tmp_path / "d", SMALL | {"intermediate_size": 512}),
        file,
        "i2_s",
    )
    ours = find_layout(file, "model.layers.0.self_attn.q_proj.weight")
    theirs = find_layout(file, "blk.0.attn_q.weight")
    assert ours.tensors == theirs.tensors == ["model.layers.0.self_attn.q_proj.weight"]


def test_codes_that_nobody_packed_are_called_so(tmp_path):
    codes = np.random.default_rng(0).integers(-1, 2, (64, 128)).astype(np.int8)
    np.save(tmp_path / "codes.npy", codes)
    with pytest.raises(CheckpointError, match="packed bytes, found codes, a byte"):
        find_layout(tmp_path / "codes.npy")
