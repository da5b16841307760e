"""What stands on the cheat sheet and is not an example is held here."""

import re

import numpy as np
import pytest
from shared import ROOT

from minibitnet.checkpoint.configfile import parse_config
from minibitnet.files.published import CONFIG
from minibitnet.formats import LAYOUTS
from minibitnet.formats.atlas import byte_of_each, weights_in
from minibitnet.golden.names import EMBED, FINAL_NORM, IN_A_BLOCK, LOGITS
from minibitnet.golden.zoo import find_bug
from minibitnet.weights import matrices

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


def test_every_layout_has_its_row_and_its_bits():
    found = {row[0].split("`")[1]: row[1:] for row in rows("Bytes") if "`" in row[0]}
    assert [*found] == [*LAYOUTS]
    in_words = {4: "four", 5: "five", 6: "two threes"}
    for name, (bits, held, low, stored) in found.items():
        layout = LAYOUTS[name]
        assert float(bits) == pytest.approx(layout.bits_per_weight, abs=1e-4)
        weights = weights_in(byte_of_each(layout, 16, 256), 0)
        word = "two pairs" if name == "tl1" else in_words[len(weights)]
        assert held.startswith(word)
        zeros, codes = layout.pack(np.zeros((16, 256), np.int8)), np.zeros((16, 256))
        codes[weights[0]] = 1
        turned = int(zeros[0]) ^ int(layout.pack(codes.astype(np.int8))[0])
        if low != "-":  # the first weight is in the lowest bits, or in the highest
            assert (turned < 16) == (low == "yes")
        if low != "-" and stored.startswith("code"):
            one = {"code + 1": 0b01010101, "code + **2**": 0b10101010}[stored]
            assert zeros[0] == one


TRAPS = {row[0]: row[-1].strip("`") for row in rows("Traps, and how each shows")}
IN_THE_ZOO = {  # whose tests see where each shows first
    "SiLU for squared ReLU": ["silu"],
    "scale of the weights divided": ["scale-divides"],
    "no sub-norms": ["no-sub-norms"],
    "RoPE on neighbours": ["rope-neighbours"],
    "theta 10000": ["theta-10000"],
    "rows unpacked as neighbours, or highest bits first": [
        "neighbouring-rows",
        "high-bits-first",
    ],
    "I2_S read in blocks of 64, as neighbours, as four rows, or lowest bits first": [
        *("blocks-of-64", "blocks-in-sequence", "blocks-as-four-rows"),
        "block-bits-reversed",
    ],
    "key/value head `h % G` in place of `h // (H // G)`": ["modulo-heads"],
    "one scale for all tokens": ["one-scale-for-all"],
    "half away from zero, or cut off": ["half-away", "truncated-codes"],
    "floats summed in float32": ["float32-sums"],
    "float16 behind the gate": ["float16-gate"],
    "no begin-of-text, or two": ["no-bos", "double-bos"],
}


@pytest.mark.parametrize("trap", IN_THE_ZOO)
def test_a_trap_shows_first_where_the_sheet_says(trap):
    bugs = [find_bug(name) for name in IN_THE_ZOO[trap]]
    assert {bug.first_stage for bug in bugs} == {TRAPS[trap]}


def test_every_trap_shows_at_a_stage():
    assert TRAPS.keys() >= IN_THE_ZOO.keys()
    assert {stage for stage in TRAPS.values() if stage} <= STAGES.keys()


@pytest.mark.parametrize("link", re.findall(r"\]\((\S+?)\)", SHEET))
def test_a_link_leads_somewhere(link):
    assert (ROOT / link).is_file()


def test_it_fits_on_two_pages():
    assert len(SHEET.splitlines()) < 160
