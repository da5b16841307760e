"""What stands on the cheat sheet and is not an example is held here."""

import re
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from unittest.mock import patch

import numpy as np
import pytest
from shared import ROOT

import minibitnet as mb
from minibitnet import bitlinear
from minibitnet.weights import matrices
from minibitnet.checkpoint.configfile import parse_config
from minibitnet.course.stages import port_a, port_b, port_c, port_d
from minibitnet.files.published import CONFIG
from minibitnet.kernels import blas
from minibitnet.stages import EMBED, FINAL_NORM, IN_A_BLOCK, LOGITS

SHEET = (ROOT / "CHEATSHEET.md").read_text(encoding="utf-8")
STAGES = {stage.name: stage for stage in (EMBED, *IN_A_BLOCK, FINAL_NORM, LOGITS)}


def rows(heading):
    part = SHEET.split(f"## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in part.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line[1:-1].split(" | ")] for line in lines[2:]]


def test_the_numbers_are_those_of_the_config():
    config = parse_config(CONFIG)
    found = dict(
        pair
        for row in rows("Letters and numbers")
        for pair in zip(row[::2], row[1::2], strict=True)
    )
    assert found == {
        "`D` hidden size": str(config.hidden_size),
        "`F` feed-forward": str(config.intermediate_size),
        "`L` blocks": str(config.num_hidden_layers),
        "`V` vocabulary": str(config.vocab_size),
        "`H` query heads": str(config.num_attention_heads),
        "`G` key/value heads": str(config.num_key_value_heads),
        "`d` head": str(config.head_dim),
        "context": str(config.max_position_embeddings),
        "RoPE theta": str(config.rope_theta),
        "norm eps": str(config.rms_norm_eps),
    }
    assert f"`{config.hidden_act}`" in SHEET
    assert f"{config.num_hidden_layers} such blocks" in SHEET


def test_every_stage_it_names_exists_and_has_that_name_elsewhere():
    for here, theirs, *_ in rows("Names"):
        for name in re.findall(r"`(.+?)`", here):
            hf = STAGES[name].hf.removeprefix("self_attn.").removeprefix("mlp.")
            assert hf in theirs or name == "logits", name
    named = {name for row in rows("Names") for name in re.findall(r"`(.+?)`", row[1])}
    ends = {name.split(".")[-1] for name in named}
    assert ends >= {name.split(".")[-1] for name in matrices(parse_config(CONFIG))}


TRAPS = {row[0]: row[-1].strip("`") for row in rows("Traps, and how each shows")}
IDS = [4093, 5, 300, 17, 42, 7]  # begin-of-text first


@contextmanager
def no_sub_norms(model):
    def without(block):
        attention = replace(block.self_attn, attn_sub_norm=None)
        return replace(
            block, self_attn=attention, mlp=replace(block.mlp, ffn_sub_norm=None)
        )

    yield replace(model, layers=tuple(map(without, model.layers)))


@contextmanager
def other_theta(model):
    theta = model.config.rope_theta * 50
    yield replace(model, config=replace(model.config, rope_theta=theta))


@contextmanager
def highest_first(model):
    table = blas.WEIGHTS_OF_BYTE[:, ::-1].copy()
    with patch.object(blas, "WEIGHTS_OF_BYTE", table):
        yield model


def rounded_with(change):
    @contextmanager
    def mutant(model):
        rounded = partial(change, bitlinear.quantize_activations)
        with patch.object(bitlinear, "quantize_activations", rounded):
            yield model

    return mutant


def one_scale(quantize, x):
    codes, scale = quantize(x.reshape(1, -1))
    return codes.reshape(x.shape), np.broadcast_to(scale, (len(x), 1))


def cut_off(quantize, x):
    _, scale = quantize(x)
    return np.trunc(x / scale).astype(np.int8), scale


MUTANTS = {
    "SiLU for squared ReLU": port_c,
    "scale of the weights divided": port_a,
    "no sub-norms": no_sub_norms,
    "RoPE on neighbours": port_b,
    "theta 10000": other_theta,
    "rows unpacked as neighbours, or highest bits first": highest_first,
    "key/value head `h % G` in place of `h // (H // G)`": port_d,
    "one scale for all tokens": rounded_with(one_scale),
    "half away from zero, or cut off": rounded_with(cut_off),
}


@pytest.mark.parametrize("trap", MUTANTS)
def test_a_trap_shows_first_where_the_sheet_says(trap):
    model, _ = mb.load(kernel="blas")
    with mb.trace() as stages:
        mb.forward(model, IDS)
    with MUTANTS[trap](model) as wrong, mb.trace() as others:
        mb.forward(wrong, IDS)
    first = next(n for n in others if not np.array_equal(stages[n], others[n]))
    assert first == f"layers.0.{TRAPS[trap]}"


def test_every_trap_shows_at_a_stage():
    assert TRAPS.keys() >= MUTANTS.keys()
    assert {stage for stage in TRAPS.values() if stage} <= STAGES.keys()


@pytest.mark.parametrize("link", re.findall(r"\]\((\S+?)\)", SHEET))
def test_a_link_leads_somewhere(link):
    assert (ROOT / link).is_file()


def test_it_fits_on_two_pages():
    assert len(SHEET.splitlines()) < 160
