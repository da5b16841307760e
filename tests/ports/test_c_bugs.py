# Mistakes that ports make, put into the port: each shows first at the stage it is in.

import shutil

import pytest
from cport import (
    SOURCE,
    compile_c,
    first_difference,
    ids_for,
    needs_compiler,
    trace_c,
    trace_page,
)
from test_c import read_safetensors, write_safetensors

from minibitnet.golden.diagnose import diagnose
from minibitnet.golden.seen import Seen
from minibitnet.golden.vectorset import FROZEN
from minibitnet.stories import BUILT_IN

pytestmark = needs_compiler
LOUD = "loud"  # a model whose sums are large
FAINT = "faint"  # one whose activations are small
TIES = [352, 375, 1642, 2294, 2350]  # tokens of which an activation is a tie

BUGS = {  # name: the right line, the wrong one, the first stage that differs
    "silu": (
        "squared ? relu2(gate[i]) : silu(gate[i])",
        "squared < 0 ? relu2(gate[i]) : silu(gate[i])",
        "layers.0.relu2_gate",
    ),
    "gate and up swapped": (
        "relu2_gate(gate, up, T * F",
        "relu2_gate(up, gate, T * F",
        "layers.0.relu2_gate",
    ),
    "RoPE of neighbours": (
        "* d + j, *second = first + d / 2;",
        "* d + 2 * j, *second = first + 1;",
        "layers.0.q.rope",
    ),
    "positions from one": (
        "(int32_t)(start + t)",
        "(int32_t)(start + t + 1)",
        "layers.0.q.rope",
    ),
    "positions begin anew": ("(int32_t)(start + t)", "(int32_t)t", "layers.0.q.rope"),
    "groups by modulo": ("head / (H / G)", "head % G", "layers.0.attn"),
    "no causal mask": ("seen = S - T + t + 1", "seen = S", "layers.0.attn"),
    "no root of d": ("pow((double)d, -0.5)", "1 / (double)d", "layers.0.attn"),
    "scale divides": ("if (config->divides)", "if (!config->divides)", "layers.0.q"),
    "scales one by one": (
        "* (x_scale[t] * w_scale)",
        "* x_scale[t] * w_scale",
        "layers.0.q",
    ),
    "half away from zero": (
        "rintf(x[t * N + n] * (127 / largest))",
        "roundf(x[t * N + n] * (127 / largest))",
        "layers.0.attn_in.codes",
    ),
    "truncated": (
        "rintf(x[t * N + n] * (127 / largest))",
        "truncf(x[t * N + n] * (127 / largest))",
        "layers.0.attn_in.codes",
    ),
    "divided by the scale": (
        "rintf(x[t * N + n] * (127 / largest))",
        "rintf(x[t * N + n] / (largest / 127))",
        "layers.0.attn_in.codes",
    ),
    "no least magnitude": (
        "float largest = 1e-5f;",
        "float largest = 0;",
        "layers.0.attn_in.codes",
    ),
    "high bits first": (
        "unpack(bytes[n], m / R)",
        "unpack(bytes[n], 3 - m / R)",
        "layers.0.q.acc",
    ),
    "a row of bytes for four rows": (
        "w->packed + m % R * N;",
        "w->packed + m / 4 * N;",
        "layers.0.q.acc",
    ),
    "sums of 16 bits": (
        "int32_t sum = 0;",
        "int16_t sum = 0;",
        "layers.0.down.acc",
    ),
    "no sub-norm": (
        'if (has(p, "self_attn.attn_sub_norm"))',
        "if (0)",
        "layers.0.attn_sub_norm",
    ),
    "sums in float": (
        "double sums[8] = {0}, sum = 0;",
        "float sums[8] = {0}, sum = 0;",
        "layers.0.attn_norm",
    ),
    "no final norm": ('h = norm(p, "final_norm", h, D, "norm");', "", "final_norm"),
}
IN_MODEL = {"sums of 16 bits": LOUD, "no least magnitude": FAINT}


@pytest.fixture(scope="module")
def changed(tmp_path_factory):
    """The built-in model, with a loud or a faint layer 0."""
    made = {}
    for kind in (LOUD, FAINT):
        directory = tmp_path_factory.mktemp("models") / kind
        shutil.copytree(BUILT_IN, directory)
        arrays = read_safetensors(directory / "model.safetensors")

        def fill(name, raw, arrays=arrays):
            entry, old = arrays[f"model.{name}.weight"]
            arrays[f"model.{name}.weight"] = entry, raw * (len(old) // len(raw))

        if kind == FAINT:
            fill("layers.0.input_layernorm", b"\x80\x35")  # 2**-20
        else:  # all activations are one number, so all codes of `ffn_out` 127
            for name in ("input_layernorm", "post_attention_layernorm"):
                fill(f"layers.0.{name}", b"\x80\x3f")
            fill("embed_tokens", b"\x80\x3f")
            fill("layers.0.mlp.ffn_sub_norm", b"\x80\x3f")
            fill("layers.0.self_attn.o_proj", b"\x55")
            for name in ("gate_proj", "up_proj", "down_proj"):
                fill(f"layers.0.mlp.{name}", b"\xaa")
        write_safetensors(directory / "model.safetensors", arrays)
        made[kind] = directory
    return made


def compile_mutant(name, directory):
    """The port with one of the mistakes."""
    right, wrong, _ = BUGS[name]
    text = SOURCE.read_text(encoding="ascii")
    assert text.count(right) == 1
    text = text.replace(right, wrong)
    # It would refuse a model of which an array is not read: a port without a norm.
    text = text.replace("    check_used(&model.weights);\n", "")
    mutant = directory / "mutant.c"
    mutant.write_text(text, encoding="ascii")
    compile_c(mutant, directory / "mutant", "-O1", "-ffp-contract=off")
    return directory / "mutant"


@pytest.mark.parametrize("name", BUGS)
def test_a_mistake_shows_first_at_its_own_stage(name, changed, tmp_path):
    mutant = compile_mutant(name, tmp_path)
    directory = changed.get(IN_MODEL.get(name), BUILT_IN)
    ids = [*ids_for(BUILT_IN)[:6], *TIES]
    pieces = [4, 1, 1, 5]
    found = trace_c(mutant, directory, ids, pieces, tmp_path / "found.trace")
    expected = BUGS[name][2]
    assert first_difference(found, trace_page(directory, ids, pieces)) == expected


# The same mistakes in the zoo, where it has them
IN_THE_ZOO = {
    "silu": "silu",
    "gate and up swapped": "gate-up-swapped",
    "RoPE of neighbours": "rope-neighbours",
    "groups by modulo": "modulo-heads",
    "no causal mask": "no-causal-mask",
    "scale divides": "scale-divides",
    "half away from zero": "half-away",
    "truncated": "truncated-codes",
    "high bits first": "high-bits-first",
    "positions begin anew": "position-restarts",
    "no final norm": "no-final-norm",
}


@pytest.mark.parametrize("name", IN_THE_ZOO)
def test_a_mistake_of_the_zoo_is_diagnosed(name, tmp_path):
    mutant = compile_mutant(name, tmp_path)
    model, ids = FROZEN / "models" / "quirky", [271, 32, 97, 110, 100, 258, 40, 7]
    if name == "half away from zero":
        model, ids = BUILT_IN, TIES
    pieces = [3, 1, 1, 1, 1, 1] if name == "positions begin anew" else [len(ids)]
    found = trace_c(mutant, model, ids, pieces, tmp_path / "found.trace")
    stages = {stage: Seen(array) for stage, array in found.items()}
    equal = [suspect.name for suspect in diagnose(stages, model, ids).equal]
    assert IN_THE_ZOO[name] in equal
    assert len(equal) <= 2
