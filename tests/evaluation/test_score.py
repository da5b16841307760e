import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

import minibitnet as mb
from minibitnet.evaluation.score import bits, bits_per_byte, log_softmax, score

STORY = "Once upon a time there was a little girl. She loved to play in the park."
END = 4094  # of the built-in model


@pytest.fixture(scope="module")
def built_in():
    return mb.load()


@given(st.lists(st.floats(-50, 50, width=32), min_size=1, max_size=9))
def test_log_probabilities_are_those_of_softmax(numbers):
    logits = np.array(numbers, np.float32)
    powers = np.exp(logits.astype(np.float64))
    found = log_softmax(logits)
    assert found.dtype == np.float64
    assert_allclose(np.exp(found), powers / powers.sum(), rtol=1e-9)


def test_logits_too_large_for_exp_have_log_probabilities():
    assert log_softmax(np.float32([2000, 0])).tolist() == [0, -2000]


def test_each_token_is_scored_by_what_came_before_it(model):
    ids = [5, 9, 2, 9, 40]
    expected = [
        log_softmax(mb.forward(model, ids[:end])[-1])[ids[end]]
        for end in range(1, len(ids))
    ]
    found = score(model, ids)
    assert_allclose(found, expected, rtol=1e-12)
    assert bits(model, ids) == pytest.approx(-sum(expected) / math.log(2))


def plain_score(model, ids):
    return np.array([
        log_softmax(logits)[token]
        for logits, token in zip(mb.forward(model, ids[:-1]), ids[1:], strict=True)
    ])  # fmt: skip


@given(data=st.data())
def test_continuations_of_a_prompt_score_the_same_whether_it_is_read_again(model, data):
    tokens = st.lists(st.integers(0, 96), min_size=1, max_size=9)
    prompt = data.draw(tokens)
    continuations = data.draw(st.lists(tokens, min_size=1, max_size=3))
    end = len(prompt) - 1
    cache = mb.KVCache(model.config, capacity=20)
    if end:
        mb.forward(model, prompt[:-1], cache, last=True)
    for continuation in continuations:
        cache.truncate(end)
        found = mb.score(model, [prompt[-1], *continuation], cache)
        assert_array_equal(found, plain_score(model, prompt + continuation)[end:])
        assert cache.length == end + len(continuation)


def test_a_text_read_in_pieces_has_the_same_scores(model, monkeypatch):
    ids = (np.arange(50) * 7 % 90).tolist()
    whole = plain_score(model, ids)
    for length in (1, 7, 49, 50):
        monkeypatch.setattr("minibitnet.evaluation.score.PREFILL_TOKENS", length)
        assert_array_equal(score(model, np.array(ids)), whole, strict=True)


def test_a_token_alone_has_no_score(model):
    found = mb.score(model, [3])
    assert (found.shape, found.dtype) == ((0,), np.float64)
    cache = mb.KVCache(model.config, capacity=1)
    assert len(mb.score(model, [3], cache)) == cache.length == 0


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([], "ids must be at least one token id"),
        ([5, 97], "ids must be from 0 to 96, got 97"),
        ([5, -1], "ids must be from 0 to 96, got -1"),
        ([97, 5], "ids must be from 0 to 96, got 97"),
        ([1.5, 2.5], "ids must be whole numbers"),
        ([[1, 2], [3, 4]], "ids must be at least one token id in a row"),
        (list(range(66)), "room for 64, got 65"),
    ],
)
def test_ids_that_cannot_be_scored_are_refused(model, ids, message):
    with pytest.raises(ValueError, match=message):
        mb.score(model, ids)


def test_the_cache_must_be_of_this_model_and_have_room(model):
    with pytest.raises(ValueError, match="room for 2, got 3"):
        mb.score(model, [1, 2, 3, 4], mb.KVCache(model.config, capacity=2))
    other = replace(model.config, rope_theta=1.0)
    with pytest.raises(ValueError, match="cache must be made for this model"):
        mb.score(model, [1, 2], mb.KVCache(other, capacity=2))


def test_the_logits_of_a_long_text_are_never_there_at_once(model, monkeypatch):
    sizes = []
    monkeypatch.setattr(
        "minibitnet.evaluation.score.forward",
        lambda *a: sizes.append(len(a[1])) or mb.forward(*a),
    )
    monkeypatch.setattr("minibitnet.evaluation.score.PREFILL_TOKENS", 8)
    score(model, np.arange(30))
    assert sizes == [8, 8, 8, 5]


def test_a_text_is_scored_as_far_as_the_context_reaches(model):
    T = model.config.max_position_embeddings
    ids = (np.arange(T + 9) % 90).tolist()
    assert len(score(model, ids[: T + 1])) == T
    assert bits(model, ids) == bits(model, ids[: T + 1]) > bits(model, ids[:T])


def test_documents_cost_the_bits_of_all_with_their_ends_by_all_bytes(built_in):
    model, tokenizer = built_in
    documents = [STORY, "Caf\xe9!"]
    costs = [bits(model, [*tokenizer.encode(text), END]) for text in documents]
    size = len(STORY) + 6  # the accented letter has two bytes
    found = bits_per_byte(model, tokenizer, documents)
    assert found == pytest.approx(sum(costs) / size)


def test_of_a_long_document_what_does_not_fit_counts_neither_bits_nor_bytes(built_in):
    model, tokenizer = built_in
    ids = tokenizer.encode(STORY * 40)[: model.config.max_position_embeddings + 1]
    size = len(tokenizer.decode(ids))
    found = bits_per_byte(model, tokenizer, [STORY * 40])
    assert found == pytest.approx(bits(model, ids) / size)
    assert found == bits_per_byte(model, tokenizer, [STORY * 50])


def test_a_trained_model_finds_its_own_kind_of_text_likelier_than_another(built_in):
    own = bits_per_byte(*built_in, [STORY])
    other = bits_per_byte(*built_in, ["Quantization by absmax, one scale per token!"])
    assert own < other / 2
