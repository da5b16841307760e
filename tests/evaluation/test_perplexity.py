import math
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

import minibitnet as mb
from minibitnet.evaluation.perplexity import (
    Estimate,
    Window,
    chunks,
    score_end,
    windows,
)
from minibitnet.evaluation.score import score

RECORDED = Path(__file__).parents[1] / "recorded"
CASES = [path.name for path in RECORDED.iterdir() if path.name != "packed_one_token"]


def log_probability(logits, token):
    wide = logits.astype(np.float64)
    return wide[token] - np.log(np.exp(wide - wide.max()).sum()) - wide.max()


def llama_perplexity(logits_of, ids, n_ctx, bos):
    """The loop of llama-perplexity, as it stands there: perplexity and its error."""
    nll = nll2 = count = 0.0
    first = n_ctx // 2
    for i in range(len(ids) // n_ctx):
        tokens = list(ids[i * n_ctx : (i + 1) * n_ctx])
        tokens[0] = bos
        logits = logits_of(tokens)
        for j in range(first, n_ctx - 1):
            v = -log_probability(logits[j], tokens[j + 1])
            nll, nll2, count = nll + v, nll2 + v * v, count + 1
    nll, nll2 = nll / count, nll2 / count
    variance = max(nll2 - nll * nll, 0) / (count - 1)
    return math.exp(nll), math.sqrt(variance) * math.exp(nll)


def sliding_window(logits_of, ids, max_length, stride):
    """The loop in the documentation of transformers: what is lost, token by token."""
    nlls, prev_end = [], 0
    for begin in range(0, len(ids), stride):
        end = min(begin + max_length, len(ids))
        target = end - prev_end
        piece = ids[begin:end]
        logits = logits_of(piece)
        for j in range(max(1, len(piece) - target), len(piece)):
            nlls.append(-log_probability(logits[j - 1], piece[j]))
        prev_end = end
        if end == len(ids):
            break
    return nlls


@given(data=st.data())
def test_chunks_are_those_of_llama_perplexity(model, data):
    context = data.draw(st.integers(6, 20))
    ids = data.draw(st.lists(st.integers(0, 96), min_size=context, max_size=60))
    expected = llama_perplexity(lambda ids: mb.forward(model, ids), ids, context, 95)
    cut = chunks(ids, context, [95])
    found = Estimate.of(score_end(model, window) for window in cut)
    assert found.tokens == (len(ids) // context) * (context - 1 - context // 2)
    assert found.perplexity == pytest.approx(expected[0], rel=1e-9)
    # theirs loses digits where numbers cancel
    assert found.perplexity_error == pytest.approx(expected[1], rel=1e-4, abs=1e-4)


@given(data=st.data())
def test_windows_are_those_of_transformers(model, data):
    ids = data.draw(st.lists(st.integers(0, 96), min_size=2, max_size=60))
    context = data.draw(st.integers(2, 20))
    stride = data.draw(st.integers(1, context - 1))
    expected = sliding_window(lambda ids: mb.forward(model, ids), ids, context, stride)
    cut = windows(ids, context, stride)
    found = Estimate.of(score_end(model, window) for window in cut)
    assert found.tokens == len(ids) - 1  # every token once, but the first
    assert found.nats == pytest.approx(np.mean(expected), rel=1e-9)


@pytest.mark.parametrize("case", CASES)
def test_perplexities_are_those_of_the_logits_of_transformers(case):
    model, _ = mb.load(RECORDED / case)
    with np.load(RECORDED / case / "recorded.npz") as recorded:
        ids, logits = recorded["ids"].tolist(), recorded["logits"]
    expected = llama_perplexity(lambda _: logits, ids, len(ids), ids[0])
    [chunk] = chunks(ids, len(ids), ids[:1])
    found = Estimate.of([score_end(model, chunk)])
    assert found.perplexity == pytest.approx(expected[0], rel=1e-4)
    assert found.perplexity_error == pytest.approx(expected[1], rel=1e-3)
    losses = sliding_window(lambda _: logits, ids, len(ids), 1)
    found = Estimate.of([score_end(model, windows(ids, len(ids), 1)[0])])
    assert found.nats == pytest.approx(np.mean(losses), rel=1e-4)


def test_what_comes_before_is_read_and_not_scored(model):
    ids = [5, 9, 2, 9, 40, 3]
    for scored in range(1, 6):
        found = score_end(model, Window(ids, scored))
        assert_array_equal(found, score(model, ids)[5 - scored :])


def test_a_chunk_begins_as_a_text_does():
    assert chunks(range(10, 16), 6, [1]) == [Window([1, 11, 12, 13, 14, 15], 2)]
    assert chunks(range(10, 16), 6, [1, 2]) == [Window([1, 2, 12, 13, 14, 15], 2)]
    assert chunks(range(10, 19), 6, []) == [Window([*range(10, 16)], 2)]
    assert chunks(range(1024), 512, [0])[1].scored == 255


def test_windows_hold_no_copies_of_the_text():
    tracemalloc.start()
    cut = windows(range(20_000), 10_000, 1)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(cut) == 10_001
    assert most < 10_000_000  # copies would take 800 MB


@pytest.mark.parametrize(
    ("cut", "message"),
    [
        (lambda: chunks(range(9), 2, [1]), "context must be 3 or above, got 2"),
        (lambda: chunks(range(9), 3, [1, 2]), "context must be 4 or above, got 3"),
        (lambda: chunks(range(9), 10, [1]), "a chunk of 10 tokens, got 9"),
        (lambda: windows(range(9), 4, 4), "stride must be from 1 to 3, got 4"),
        (lambda: windows(range(9), 4, 0), "stride must be from 1 to 3, got 0"),
        (lambda: windows([1], 4, 1), "must have 2 tokens, got 1"),
    ],
)
def test_what_cannot_be_cut_is_refused(cut, message):
    with pytest.raises(ValueError, match=message):
        cut()


def test_an_estimate_of_one_token_has_no_error_and_of_none_likely_no_end():
    assert math.isnan(Estimate.of([np.array([-1.0])]).error)
    assert Estimate.of([np.array([-800.0, -900.0])]).perplexity == math.inf
    assert Estimate.of([np.log([0.25, 0.25])]) == (2, pytest.approx(math.log(4)), 0)
    assert Estimate.of([np.log([0.25])]).bits == pytest.approx(2)
