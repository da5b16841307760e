# Traces of ports with mistakes, and of programs with another arithmetic.

import numpy as np
import pytest

import minibitnet as mb
from minibitnet import bf16, one_page
from minibitnet.golden.compare import compare_traces
from minibitnet.golden.traces import record
from minibitnet.golden.zoo import ZOO, mutate
from minibitnet.stories import BUILT_IN

IDS = mb.load()[1].encode("Once upon a time there was a fox. He lived by the river")
PAGE = one_page.load(BUILT_IN)


@pytest.fixture(scope="module")
def right():
    return record(mb.load()[0], IDS)


def trace_of(page):
    """A trace by a page that is changed in some way."""
    stages = {}
    with np.errstate(all="ignore"):
        page.forward(*PAGE, IDS, [], stages)
    return {k: v for k, v in stages.items() if not k.endswith("attn_weights")}


def test_equal_traces_are_equal(right):
    result = compare_traces(right, trace_of(one_page))
    assert str(result) == f"All {len(right)} stages are equal."
    assert result.verdict is None


SHOWN = [
    bug
    for bug in ZOO
    if bug.module == one_page.__name__ and bug.first_stage not in ("ids", "generate")
]


# No further from the right numbers than another program might be, on this model
ONLY_NEAR = {"float32-sums", "eps-1e-6", "float16-gate"}
FIRST = {"attn_weights": "attn"}  # which are not in a trace


@pytest.mark.parametrize("bug", SHOWN, ids=lambda bug: bug.name)
def test_a_bug_is_a_mistake_where_it_shows_first(bug, right):
    found = trace_of(mutate(bug))
    result = compare_traces(right, found)
    if not result.differing:  # it shows only on other models
        return
    verdict = result.verdict
    if bug.name in ONLY_NEAR:
        assert verdict.kind == "another arithmetic"
        return
    missing = {"no-sub-norms", "sub-norm-after-o"}  # without that stage
    assert verdict.kind == "a mistake" or bug.name in missing, str(result)
    first = FIRST.get(bug.first_stage, bug.first_stage)
    assert result.differing[0].endswith(first) or verdict.reason == "another shape"


def narrow(x):
    """To bfloat16 and back."""
    return bf16.widen(bf16.narrow(x))


def other_arithmetic(rounded):
    """A page whose norms and gates come out rounded otherwise."""
    page = mutate()
    exact_norm, exact_relu = page.rms_norm, page.relu2
    page.rms_norm = lambda x, gain, eps: rounded(exact_norm(x, gain, eps))
    page.relu2 = lambda gate: rounded(exact_relu(gate))
    return page


@pytest.mark.parametrize(
    "rounded",
    [
        narrow,
        lambda x: np.nextafter(x, np.float32(0)),
        lambda x: x * np.float32(1.000003),
        lambda x: (x.astype(np.float16) if abs(x).max() < 6e4 else x).astype(
            np.float32
        ),
    ],
    ids=["bfloat16", "last bit", "a little", "float16"],
)
def test_another_arithmetic_is_no_mistake(rounded, right):
    result = compare_traces(right, trace_of(other_arithmetic(rounded)))
    assert result.verdict.kind == "another arithmetic", str(result)
    assert "In a port of this contract, which is exact, it is a mistake" in str(result)
    assert result.differing[0] == "layers.0.attn_norm"
    assert all(token.covered for token in result.tokens)


@pytest.mark.parametrize("name", ["silu", "modulo-heads", "half-away", "int16-sums"])
def test_a_mistake_under_another_arithmetic_is_still_one(name, right):
    [bug] = [bug for bug in ZOO if bug.name == name]
    page = mutate(bug)
    exact = page.rms_norm
    page.rms_norm = lambda x, gain, eps: narrow(exact(x, gain, eps))
    result = compare_traces(right, trace_of(page))
    mistake = result.verdict.kind == "a mistake"
    # codes that rightly differ come before; what is behind them is not judged
    assert mistake or result.verdict.stage.endswith(".codes")


A = {
    "layers.0.attn_norm": np.float32([[127, 63.4, 10.5]]),
    "layers.0.attn_in.codes": np.int8([[127, 63, 10]]),
    "layers.0.q.acc": np.int32([[5, -7]]),
}


def verdict(**changes):
    changes = {f"layers.0.{k.replace('_acc', '.acc')}": v for k, v in changes.items()}
    changes = {k.replace("in_codes", "in.codes"): v for k, v in changes.items()}
    return compare_traces(A, A | changes).verdict


def test_codes_that_do_not_follow_are_a_mistake():
    found = verdict(attn_in_codes=np.int8([[127, 64, 10]]))
    assert str(found) == (
        "A mistake in layers.0.attn_in.codes: not the codes of its layers.0.attn_norm"
    )
    tie = verdict(attn_in_codes=np.int8([[127, 63, 11]]))
    assert "an exact tie" in tie.reason


def test_codes_of_floats_that_are_near_are_right():
    x = np.float32([[127, 63.6, 10.5]])
    found = verdict(attn_norm=x, attn_in_codes=np.int8([[127, 64, 10]]))
    assert (found.kind, found.stage) == ("another arithmetic", "layers.0.attn_in.codes")
    assert found.reason.startswith(
        "1 of 3 codes, at most 0.1 of a code from the middle"
    )
    beside = np.float32([[127, 63.4, 10.50001]])
    found = verdict(attn_norm=beside, attn_in_codes=np.int8([[127, 63, 11]]))
    assert found.kind == "another arithmetic"


def test_floats_that_are_far_are_a_mistake():
    x = np.float32([[127, 63.4, 15]])
    assert verdict(attn_norm=x).reason == "3.5% of a token's largest number apart"
    x[0, 1] = np.nan
    assert verdict(attn_norm=x).kind == "a mistake"


def test_codes_far_apart_are_a_mistake_whatever_they_are_of():
    found = verdict(attn_in_codes=np.int8([[127, 67, 10]]))
    assert found.reason == "codes up to 4 apart"


def test_sums_of_equal_codes_are_equal():
    acc = np.int32([[5, -6]])
    assert verdict(q_acc=acc).reason == "other sums of equal codes"
    a = {"layers.0.q.acc": A["layers.0.q.acc"]}
    found = compare_traces(a, {"layers.0.q.acc": acc}).verdict
    assert str(found) == "Undecided: layers.0.q.acc: layers.0.attn_in.codes is missing"


def test_codes_without_their_floats_are_not_judged():
    a = {"layers.0.attn_out.codes": np.int8([[1]])}
    b = {"layers.0.attn_out.codes": np.int8([[2]])}
    found = compare_traces(a, b).verdict
    assert found.kind == "undecided"
    assert found.reason == "layers.0.attn_sub_norm is missing in one of the two"
    inputs = {"layers.0.attn": np.float32([[3]])}
    assert compare_traces(a | inputs, b | inputs).verdict.kind == "a mistake"


def test_another_shape_and_another_dtype_are_told():
    b = A | {"layers.0.q.acc": np.int32([[5, -7], [5, -7]])}
    result = compare_traces(A, b)
    assert result.first == "layers.0.q.acc: shape (2, 2) where (1, 2) is right"
    assert result.verdict.reason == "another shape"
    b = A | {"layers.0.q.acc": np.int64([[5, -7]])}
    result = compare_traces(A, b)
    assert result.first == "layers.0.q.acc: dtype int64 where int32 is right"


@pytest.mark.parametrize(("port", "covered"), [([9, 9.1], True), ([5, 9], False)])
def test_changed_tokens_are_covered_if_the_first_two_are_near(port, covered):
    a = {"logits": np.float32([[9, 8.9], [1, 2]])}
    if not covered:
        a = {"logits": np.float32([[9, 5], [1, 2]])}
    [token] = compare_traces(a, {"logits": np.float32([port, [1, 2]])}).tokens
    assert (token.position, token.right, token.port) == (0, 0, 1)
    assert token.covered is covered
    assert str(token).endswith("another arithmetic" if covered else "too far for that")


def test_traces_must_be_of_the_same_ids_and_stages():
    ids = {"ids": np.array([1, 2])}
    with pytest.raises(ValueError, match=r"ids must be the same .* 1, 2 and 1, 3"):
        compare_traces(A | ids, A | {"ids": np.array([1, 3])})
    with pytest.raises(ValueError, match="a stage in common"):
        compare_traces({"q": np.ones(1)}, {"q": np.ones(1)})
    other = {
        "layers.0.k": np.ones((1, 1)),
        "layers.x.q": np.ones(1),
        "n\x1b": np.ones(1),
    }
    result = compare_traces(A | ids, A | other)
    assert result.left_out == ["layers.0.k", "layers.x.q", "n\x1b"]
    assert r"Not compared: 'layers.0.k', 'layers.x.q', 'n\x1b'" in str(result)


def test_stages_come_in_the_order_of_computation(right):
    shuffled = dict(sorted(right.items()))
    assert compare_traces(shuffled, right).compared == [*right]


def test_a_head_is_named_where_the_trace_says_how_many_there_are(right):
    right = dict(right)
    other = dict(right)
    other["layers.0.v"] = right["layers.0.v"].copy()
    other["layers.0.v"][:, -32:] *= 3
    assert "; only head 1" in str(compare_traces(right, other))
    del right["layers.0.k.rope"], other["layers.0.k.rope"]
    assert "; only columns " in str(compare_traces(right, other))


@pytest.mark.parametrize("name", ["logits", "layers.0.attn_weights"])
def test_the_last_bits_that_the_contract_leaves_are_no_difference(name):
    right = np.random.default_rng(0).normal(size=(4, 3, 9)).astype(np.float32)
    near, far = np.nextafter(right, np.float32(9)), right * np.float32(1 + 1e-6)
    assert compare_traces({name: right}, {name: near}).verdict is None
    assert compare_traces({name: right}, {name: far}).differing == [name]
    other = {"layers.0.q": right}, {"layers.0.q": near}
    assert compare_traces(*other).differing == ["layers.0.q"]


def test_an_array_under_the_name_of_another_is_recognized():
    a = {f"layers.{n}.q": np.float32([[n, 2, 3, 4 + n]]) for n in range(3)}
    b = {"layers.0.q": a["layers.0.q"], "layers.1.q": a["layers.0.q"]}
    told = compare_traces(a, b).first
    assert told.endswith("2 of 4 differ; the right numbers of layers.0.q")
