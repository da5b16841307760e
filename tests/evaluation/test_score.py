import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

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
