import functools
import itertools

import numpy as np
import pytest
from callbacks import as_dumped, print_graph

from minibitnet import one_page
from minibitnet.golden import diagnose as module
from minibitnet.golden import evidence
from minibitnet.golden.diagnose import PAGE_BUGS, diagnose
from minibitnet.golden.dumps import read_numbers
from minibitnet.golden.evalcallback import read_callback
from minibitnet.golden.port import run_port
from minibitnet.golden.seen import Seen
from minibitnet.golden.zoo import Bug, find_bug, mutate
from minibitnet.stories import BUILT_IN

IDS = [95, 20, 30, 4, 96]
LOUD_IDS = [95, 2, 1, 3, 5]
OF_OTHER_MODELS = {"sign-weights", "truncated-weights", "head-always-tied"}
TAME = {"half-away", "half-up", "zero-row", "int16-sums"}  # shown by the loud model
NAMED = [
    bug
    for bug in PAGE_BUGS
    if bug.name not in OF_OTHER_MODELS and bug.first_stage != "generate"
]


def all_stages(stages):
    return {n: Seen(a) for n, a in stages.items() if not n.endswith("attn_weights")}


def one_layer(stages):
    """As much of a layer as tells: it ends with what the next one reads."""
    names = ("attn_norm", "q", "q.rope", "k.rope", "attn", "o", "relu2_gate", "down")
    return {f"layers.0.{name}": Seen(stages[f"layers.0.{name}"]) for name in names}


def printed_logits(stages):
    text = "\n".join(f"{number:.6g}" for number in stages["logits"].ravel())
    return {"logits": read_numbers(text, "logits.txt")}


def last_logits(stages):
    return {"logits": Seen(stages["logits"][-1])}


def callback(stages):
    return read_callback(print_graph(as_dumped(stages)), "log.txt")


KINDS = (all_stages, one_layer, printed_logits, last_logits, callback)
BY_NAME = {bug.name for bug in PAGE_BUGS}
# Each bug by one kind of dump: all by all would take minutes
# (llama.cpp's printout has the sub-norms, so that a port without has none)
CASES = [
    (bug, all_stages if (bug.name, kind) == ("no-sub-norms", callback) else kind)
    for bug, kind in zip(NAMED, itertools.cycle(KINDS))
]


def port_of(bugs, directory, ids, pieces=()):
    if any(bug.name.startswith("position-") for bug in bugs):
        pieces = (len(ids) - 2, 1, 1)
    return run_port(mutate(*bugs), directory, ids, pieces)


@pytest.fixture(scope="module", autouse=True)
def runs():
    """Each port runs once on the same tokens: what is asked of it is a part of that."""
    run = functools.cache(
        lambda names, *args: run_port(mutate(*map(find_bug, names)), *args)
    )

    def run_again(page, directory, ids, pieces=(), names=()):
        bugs = () if page is one_page else tuple(page.__name__.split(" and "))
        if not all(bug in BY_NAME for bug in bugs):  # changed for a test
            return run_port(page, directory, ids, pieces, names)
        found = run(bugs, directory, tuple(ids), tuple(pieces))
        return found and {name: found[name] for name in found if name in names}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evidence, "run_port", run_again)
        yield


@pytest.mark.parametrize(
    ("bug", "kind"), CASES, ids=[f"{b.name}-{kind.__name__}" for b, kind in CASES]
)
def test_a_port_with_a_bug_is_told_which(bug, kind, quirky, loud):
    directory, ids = (loud, LOUD_IDS) if bug.name in TAME else (quirky, IDS)
    found = diagnose(kind(port_of([bug], directory, ids)), directory, ids)
    if found.page.first is None:  # the numbers do not show it, and that is said
        assert bug in found.silent
        assert kind is not all_stages
    else:
        assert [suspect.name for suspect in found.equal] == [bug.name]


@pytest.mark.parametrize("kind", [all_stages, one_layer])
@pytest.mark.parametrize(
    "names",
    [
        ("scale-divides", "silu"),  # the second begins where the first ends
        ("rope-neighbours", "no-final-norm"),
        ("truncated-codes", "one-scale-for-all"),  # in one line
        ("high-bits-first", "code-map"),  # both at one stage
        ("half-up", "keys-turned-per-head"),
        ("high-bits-first", "no-bos"),
        ("shard-edge", "double-bos"),  # of which one alone has a row too few
    ],
)
def test_two_bugs_are_told(names, kind, loud):
    bugs = [find_bug(name) for name in names]
    port = port_of(bugs, loud, LOUD_IDS)
    dump = kind(port)
    found = diagnose(dump, loud, LOUD_IDS)
    shown = set(names) - ({"no-final-norm"} if kind is one_layer else set())
    assert shown in [{bug.name for bug in suspect.bugs} for suspect in found.equal]


def test_two_bugs_are_told_by_the_logits_alone(quirky):
    port = port_of([find_bug("silu"), find_bug("theta-10000")], quirky, IDS)
    found = diagnose(last_logits(port), quirky, IDS)
    assert [suspect.name for suspect in found.equal] == ["theta-10000 and silu"]


# Other arithmetics, as changes of the page. None is a bug.
BFLOAT16 = """\
        if array.dtype == np.float32:
            bits = array.view(np.uint32) + 0x7FFF + (array.view(np.uint32) >> 16 & 1)
            array = (bits & 0xFFFF0000).astype(np.uint32).view(np.float32)
        return array
"""
HALF = ".astype(np.float16).astype(np.float32)"
CACHE = "        cache[layer : layer + 1] = [(k, v)]"
BLOCKS = """\
    steps = np.abs(x.reshape(-1, 16)).max(axis=1, keepdims=True) / np.float32(127)
    steps = np.maximum(steps, np.float32(1e-9))
    x = (np.rint(x.reshape(-1, 16) / steps) * steps).reshape(x.shape)
    largest ="""
SCORES = "keys[:seen] @ q[t, head].astype(np.float64)"
ARITHMETICS = {
    "bfloat16": [("        return array\n", BFLOAT16)],
    "float16": [
        ("widen(embedding[ids])", f"widen(embedding[ids]){HALF}"),
        (CACHE, f"        k, v = k{HALF}, v{HALF}\n{CACHE}"),
    ],
    "float32": [
        ("np.square(x.astype(np.float64))", "np.square(x[:, ::-1])"),
        (SCORES, f"({SCORES}).astype(np.float32)"),
    ],
    "blocks": [("    largest =", BLOCKS)],
}
OTHERS = {
    name: [Bug(name, "", right, wrong, "", "", "") for right, wrong in changes]
    for name, changes in ARITHMETICS.items()
}
each_arithmetic = pytest.mark.parametrize("name", OTHERS)


def floats(stages):
    """What another arithmetic has, too: no codes, no sums."""
    named = all_stages(stages)
    return {n: seen for n, seen in named.items() if seen.values.dtype == np.float32}


@each_arithmetic
@pytest.mark.parametrize("kind", [floats, last_logits])
def test_a_right_port_in_another_arithmetic_is_not_called_wrong(name, kind, quirky):
    found = diagnose(kind(port_of(OTHERS[name], quirky, IDS)), quirky, IDS)
    assert found.page.mean > 0
    assert found.nearest is None
    assert found.looks_like_rounding


@each_arithmetic
def test_nor_is_it_with_a_trained_model(name):
    ids = [4093, 300, 301]
    found = diagnose(last_logits(port_of(OTHERS[name], BUILT_IN, ids)), BUILT_IN, ids)
    assert found.nearest is None
    assert found.looks_like_rounding


BUGS_AND_KINDS = [
    *zip(
        ("silu", "scale-missing", "rope-neighbours", "no-bos"),
        (floats, callback, last_logits, printed_logits),
        strict=True,
    )
]


@each_arithmetic
@pytest.mark.parametrize(("bug", "kind"), BUGS_AND_KINDS)
def test_a_bug_in_another_arithmetic_is_the_nearest(
    bug, kind, name, quirky, monkeypatch
):
    monkeypatch.setattr(module, "LIKELY", 1)  # with others, for a start
    port = port_of([*OTHERS[name], find_bug(bug)], quirky, IDS)
    found = diagnose(kind(port), quirky, IDS)
    assert found.nearest.name == bug
    assert found.nearest.mean < 0.5 * found.page.mean


def test_a_mistake_that_nobody_made_yet_is_not_given_another_name(quirky):
    bug = Bug("upside-down", "", "h + down", "h - down", "", "", "")
    found = diagnose(all_stages(port_of([bug], quirky, IDS)), quirky, IDS)
    assert not found.equal
    assert not found.looks_like_rounding
    assert found.page.first == "layers.0.ffn_residual"
    assert found.nearest is None


def test_what_could_not_show_is_told(quirky):
    right = run_port(one_page, quirky, IDS)
    found = diagnose(all_stages(right), quirky, IDS)
    assert (found.page.first, found.equal, found.nearest) == (None, [], None)
    silent = {bug.name for bug in found.silent}
    assert silent == TAME | OF_OTHER_MODELS | {
        "position-restarts", "position-one-late", "one-end-only",
    }  # fmt: skip


def test_a_bug_of_later_pieces_is_found_whatever_the_first(quirky):
    bug = find_bug("position-one-late")
    for first, kind in ((1, last_logits), (3, all_stages)):
        pieces = [first] + [1] * (5 - first)
        port = run_port(mutate(bug), quirky, IDS, pieces)
        found = diagnose(kind(port), quirky, IDS)
        assert bug.name in [suspect.name for suspect in found.equal]
