import numpy as np
import pytest

from minibitnet import one_page
from minibitnet.checkpoint import CheckpointError
from minibitnet.golden import evidence as module
from minibitnet.golden.evidence import Evidence
from minibitnet.golden.port import run_port
from minibitnet.golden.seen import FARTHEST, Seen
from minibitnet.golden.zoo import find_bug, mutate

IDS = [95, 20, 30, 4, 96]


def seen(stages, *names):
    return {name: Seen(stages[name]) for name in names}


@pytest.fixture(scope="module")
def right(quirky):
    return run_port(one_page, quirky, IDS)


def test_a_right_port_is_at_the_page(quirky, right):
    numbers = seen(right, "logits", "layers.0.attn_weights", "layers.1.q.acc")
    evidence = Evidence(numbers, quirky, IDS)
    assert [*evidence.stages] == ["layers.0.attn_weights", "layers.1.q.acc", "logits"]
    assert (evidence.page.name, evidence.page.first) == ("the page", None)
    assert evidence.page.mean == 0
    assert evidence.right_tokens() == 5


def test_a_suspect_is_as_far_as_its_numbers(quirky, right):
    evidence = Evidence(seen(right, "embed", "layers.0.attn_out.codes"), quirky, IDS)
    suspect = evidence.judge(find_bug("no-sub-norms"))
    assert suspect.first == suspect.begin == "layers.0.attn_out.codes"
    assert evidence.judge(find_bug("silu")).begin is None
    assert suspect.mean == suspect.distances["layers.0.attn_out.codes"] / 2 > 0
    both = evidence.judge(find_bug("silu"), find_bug("theta-10000"))
    assert both.name == "silu and theta-10000"


def test_a_stage_that_a_suspect_does_not_have_is_as_far_as_can_be(quirky, right):
    evidence = Evidence(seen(right, "layers.0.attn_sub_norm"), quirky, IDS)
    assert evidence.judge(find_bug("no-sub-norms")).mean == FARTHEST


def test_what_cannot_run_is_no_suspect(quirky, right, monkeypatch):
    evidence = Evidence(seen(right, "logits"), quirky, IDS)
    assert evidence.judge(find_bug("code-map"), find_bug("blocks-of-64")) is None
    monkeypatch.setattr(module, "run_port", lambda *args: None)
    assert evidence.judge(find_bug("silu")) is None


def test_tokens_are_right_up_to_the_first_wrong_one(quirky, right):
    wrong = right["layers.1.q"].copy()
    wrong[3:] += 1
    stages = {"embed": Seen(right["embed"]), "layers.1.q": Seen(wrong)}
    assert Evidence(stages, quirky, IDS).right_tokens() == 3
    # Nothing is known of what is before the rows that were seen
    stages = {"layers.1.q": Seen(wrong[3:])}
    assert Evidence(stages, quirky, IDS).right_tokens() == 0
    stages = {"embed": Seen(np.vstack([right["embed"], right["embed"][:1]]))}
    assert Evidence(stages, quirky, IDS).right_tokens() == 0


def test_numbers_of_another_model_are_refused(quirky, right):
    with pytest.raises(
        ValueError, match="layers.7.q: expected a stage of .* found none"
    ):
        Evidence({"layers.7.q": Seen(right["layers.1.q"])}, quirky, IDS)
    with pytest.raises(ValueError, match="^layers.1.q: expected rows of 96 numbers"):
        Evidence({"layers.1.q": Seen(right["layers.1.q"][:, :95])}, quirky, IDS)
    many = np.vstack([right["embed"]] * 2)
    with pytest.raises(ValueError, match="^embed: expected 5 rows or fewer, found 10"):
        Evidence({"embed": Seen(many)}, quirky, IDS)
    with pytest.raises(ValueError, match="^ids must be from 0 to 96, got 1000"):
        Evidence(seen(right, "embed"), quirky, [1000])
    with pytest.raises(CheckpointError):
        Evidence(seen(right, "embed"), quirky / "nowhere", IDS)


def test_a_model_that_the_page_reads_otherwise_is_refused(quirky, right, monkeypatch):
    wrong = {name: array + 1 for name, array in right.items()}
    for page in (None, wrong):
        monkeypatch.setattr(module, "run_port", lambda *args, page=page, **named: page)
        with pytest.raises(ValueError, match="a checkpoint that one_page.py reads"):
            Evidence(seen(right, "embed"), quirky, IDS)


def test_the_first_difference_is_told_with_its_pattern(quirky, right):
    stages = {name: array for name, array in right.items() if "weights" not in name}
    assert Evidence(seen(right, "layers.0.q"), quirky, IDS).tell_first() == ""
    stages["layers.0.attn"] = stages["layers.0.attn"].copy()
    stages["layers.0.attn"][2:, 16:32] = 0  # one of 6 heads
    evidence = Evidence({k: Seen(v) for k, v in stages.items()}, quirky, IDS)
    value = right["layers.0.attn"][2, 16]
    assert evidence.tell_first() == (
        f"layers.0.attn[2, 16]: 0 where {value:.9g} is right; 48 of 480 differ; "
        "only head 1"
    )
    rounded = {"layers.0.attn": Seen(stages["layers.0.attn"], 1e-6)}
    told = Evidence(rounded, quirky, IDS).tell_first()
    assert told.endswith("48 of 480 differ")
    twice = np.concatenate([right["layers.0.q"][:1], right["layers.0.q"]])
    told = Evidence({"layers.0.q": Seen(twice)}, quirky, IDS).tell_first()
    assert told == "layers.0.q: expected 5 rows of 96, found 6 rows of 96"


def test_numbers_under_the_name_of_another_stage_are_recognized(quirky, right):
    stages = dict(right)
    for name in right:
        if name.startswith("layers.0."):
            stages[name] = right[name.replace("layers.0.", "layers.1.")]
    evidence = Evidence({k: Seen(v) for k, v in stages.items()}, quirky, IDS)
    assert evidence.tell_first().endswith("the right numbers of layers.1.attn_norm")


def test_attention_to_one_more_token_is_compared_with_such(quirky, right):
    port = run_port(mutate(find_bug("double-bos")), quirky, IDS)
    evidence = Evidence({k: Seen(v) for k, v in port.items()}, quirky, IDS)
    assert evidence.judge(find_bug("double-bos")).first is None
    assert evidence.judge(find_bug("no-bos")).first is not None
    alone = {"layers.0.attn_weights": Seen(port["layers.0.attn_weights"])}
    told = Evidence(alone, quirky, IDS).tell_first()
    assert told == "layers.0.attn_weights: expected 6 rows of 25, found 6 rows of 36"


def test_a_token_is_right_whatever_a_head_is(quirky, right):
    stages = {k: right[k].copy() for k in ("layers.0.attn_weights", "layers.0.o")}
    stages["layers.0.attn_weights"][1] += 1
    stages["layers.0.o"][3] += 1
    evidence = Evidence({k: Seen(v) for k, v in stages.items()}, quirky, IDS)
    assert evidence.right_tokens() == 3


def test_the_last_bits_of_attention_weights_are_nobodys(quirky, right):
    weights = np.nextafter(right["layers.0.attn_weights"], np.float32(2))
    evidence = Evidence({"layers.0.attn_weights": Seen(weights)}, quirky, IDS)
    assert evidence.page.first is None


def test_a_port_is_exact_by_its_sums_or_by_a_jump(quirky, right):
    def is_exact(change, *names):
        stages = {k: right[k] for k in names} | {
            "layers.0.attn": right["layers.0.attn"] * change
        }
        return Evidence({k: Seen(v) for k, v in stages.items()}, quirky, IDS).is_exact()

    small, large = np.float32(1.001), np.float32(1.1)
    assert not is_exact(1, "layers.0.q.acc")
    assert is_exact(small, "layers.0.q.acc")
    assert not is_exact(small, "layers.0.q")
    assert is_exact(large, "layers.0.q")
    assert not is_exact(large, "embed", "layers.0.attn_norm")
