"""What stands on the cheat sheet and is not an example is held here."""

import re

import numpy as np
import pytest
from shared import ROOT

from minibitnet import one_page
from minibitnet.checkpoint.configfile import parse_config
from minibitnet.course.stages import PORTS, change_page, port_d
from minibitnet.files.published import CONFIG
from minibitnet.golden.names import EMBED, FINAL_NORM, IN_A_BLOCK, LOGITS
from minibitnet.stories import BUILT_IN
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


TRAPS = {row[0]: row[-1].strip("`") for row in rows("Traps, and how each shows")}
IDS = [4093, *range(300, 340)]  # begin-of-text first


WITHOUT_SUB_NORMS = "((n, e) for n, e in header.items() if 'sub_norm' not in n)"
MUTANTS = {  # each the page with one change
    "SiLU for squared ReLU": PORTS["C"],
    "scale of the weights divided": PORTS["A"],
    "no sub-norms": change_page("header.items()", WITHOUT_SUB_NORMS),
    "RoPE on neighbours": PORTS["B"],
    "theta 10000": change_page('d, config["rope_theta"])', "d, 500000.0)"),
    "rows unpacked as neighbours, or highest bits first": change_page(
        "(0, 2, 4, 6)", "(6, 4, 2, 0)"
    ),
    "key/value head `h % G` in place of `h // (H // G)`": port_d,
    "one scale for all tokens": change_page(
        "np.abs(x).max(axis=1, keepdims=True)", "np.abs(x).max(keepdims=True)"
    ),
    "half away from zero, or cut off": change_page(
        "np.rint(x * (127 / largest))", "np.trunc(x * (127 / largest))"
    ),
    "floats summed in float32": change_page(
        "np.square(x.astype(np.float64)).mean", "np.square(x).mean"
    ),
}


def trace(page):
    stages = {}
    page.forward(*page.load(BUILT_IN), IDS, [], stages)
    return stages


@pytest.mark.parametrize("trap", MUTANTS)
def test_a_trap_shows_first_where_the_sheet_says(trap):
    stages, others = trace(one_page), trace(MUTANTS[trap])
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
