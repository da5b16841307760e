import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_tokenizer import directory, tokenizer  # noqa: F401

import minibitnet as mb
from minibitnet.conversation import PromptTooLongError, Reader, fit

SYSTEM = [{"role": "system", "content": "Say."}]
TURN = [
    {"role": "user", "content": "hello"},
    {"role": "assistant", "content": "world"},
]
QUESTION = TURN[:1]


def test_only_what_differs_is_read_again(model):
    reader = Reader(model)
    assert reader.turn_to([1, 2, 3]) == [1, 2, 3]
    tokens = mb.generate(model, [1, 2, 3], max_new_tokens=3, cache=reader.cache)
    written = list(reader.note(tokens))
    assert reader.cache.length == 5  # the last token written has not been read
    assert reader.turn_to([1, 2, 3, *written, 9]) == [written[-1], 9]
    assert reader.turn_to([1, 2, 4]) == [4]
    assert reader.cache.length == 2
    assert reader.turn_to([1, 2]) == [2]  # there must be something to read


TEXTS = st.lists(st.integers(0, 2), min_size=1, max_size=8)


@given(texts=st.lists(TEXTS, min_size=2, max_size=4))
def test_a_text_reads_the_same_whatever_was_read_before(model, texts):
    reader = Reader(model)
    for ids in texts:
        logits = mb.forward(model, reader.turn_to(ids), reader.cache, last=True)
        assert reader.cache.length == len(ids)
    assert logits.tolist() == mb.forward(model, texts[-1], last=True).tolist()


@pytest.mark.parametrize("system", [[], SYSTEM])
def test_the_oldest_turns_are_dropped_and_the_system_stays(tokenizer, system):  # noqa: F811
    messages = system + 2 * TURN + QUESTION
    for kept in (messages, system + TURN + QUESTION, system + QUESTION):
        room = len(tokenizer.chat(kept))
        assert fit(tokenizer, messages, room) == kept
    assert messages == system + 2 * TURN + QUESTION  # the argument is left alone
    with pytest.raises(PromptTooLongError, match=rf"{room} tokens, .* for {room - 1}"):
        fit(tokenizer, messages, room - 1)
