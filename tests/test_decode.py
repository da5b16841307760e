from dataclasses import replace

import numpy as np
import pytest

from minibitnet import KVCache, decode, forward, generate, load
from minibitnet.sampling import penalize
from minibitnet.stages import listen

PROMPT = [5, 0, 96, 17]  # 96 ends a text that is written, not one that is read
DRAWN = {"temperature": 1.0}


def ending(model, *tokens):
    """The same model with other end-of-text ids."""
    return replace(model, config=replace(model.config, eos_token_ids=tuple(tokens)))


@pytest.fixture
def endless(model):
    return ending(model)


def test_greedy_takes_the_most_likely_of_the_whole_text_each_time(endless):
    text = [*PROMPT]
    for _ in range(8):
        text.append(int(forward(endless, text)[-1].argmax()))
    tokens = list(generate(endless, PROMPT, max_new_tokens=8))
    assert tokens == text[len(PROMPT) :]
    assert {type(token) for token in tokens} == {int}


@pytest.mark.parametrize("n", [0, 1, 7])
def test_no_more_tokens_are_written_than_asked_for(endless, n):
    tokens = list(generate(endless, PROMPT, 20, **DRAWN))
    assert list(generate(endless, PROMPT, n, **DRAWN)) == tokens[:n]


@pytest.mark.parametrize("places", [(0,), (3,), (19,), (3, 11), (11, 3), (2, 2)])
def test_a_text_ends_with_the_first_of_its_end_of_text_ids(endless, places):
    tokens = list(generate(endless, PROMPT, 20, **DRAWN))
    ends = [tokens[place] for place in places]
    first = min(tokens.index(end) for end in ends)
    text = list(generate(ending(endless, *ends), PROMPT, 50, **DRAWN))
    assert text == tokens[: first + 1]


@pytest.mark.parametrize("length", [1, 60, 63, 64])
def test_a_text_ends_when_the_context_is_full(endless, length):
    # The last token is written when all are read, and need not be read itself.
    assert len(list(generate(endless, [7] * length, 99))) == 64 - length + 1


def test_a_text_ends_when_its_cache_is_full(endless):
    cache = KVCache(endless.config, capacity=6)
    assert len(list(generate(endless, PROMPT, cache=cache))) == 3
    assert cache.length == 6


def test_the_same_seed_writes_the_same_text(endless):
    first, again, other = (
        list(generate(endless, PROMPT, 10, seed=seed, **DRAWN)) for seed in (3, 3, 4)
    )
    assert first == again != other


@pytest.mark.parametrize(
    ("option", "greedy"),
    [({"top_k": 1}, True), ({"top_p": 1e-6}, True), ({"temperature": 1e-6}, True)]
    + [({}, False), ({"min_p": 1}, True)],
)
def test_the_draw_is_as_the_options_say(endless, option, greedy):
    drawn = list(generate(endless, PROMPT, 10, **DRAWN | option))
    assert (drawn == list(generate(endless, PROMPT, 10))) == greedy


def test_a_prompt_continues_the_text_in_the_cache(endless):
    cache = KVCache(endless.config, capacity=64)
    forward(endless, PROMPT[:3], cache)
    continued = list(generate(endless, PROMPT[3:], 10, cache=cache))
    assert continued == list(generate(endless, PROMPT, 10))
    assert cache.length == len(PROMPT) + 10 - 1  # the last is not read


def test_a_long_prompt_is_read_in_pieces_with_the_same_result(endless, monkeypatch):
    prompt = list(range(20, 28))
    tokens = list(generate(endless, prompt, 3, **DRAWN))
    monkeypatch.setattr(decode, "PREFILL_TOKENS", 3)
    pieces = []
    with listen(lambda name, array: name == "embed" and pieces.append(len(array))):
        assert list(generate(endless, prompt, 3, **DRAWN)) == tokens
    assert pieces == [3, 3, 2, 1, 1]


def test_a_stop_string_ends_a_text_as_the_tokens_so_far_have_it():
    model, tokenizer = load()
    prompt = tokenizer.encode("Once upon a time")
    tokens = list(generate(model, prompt, 40))
    text = "".join(tokenizer.stream(tokens, after=prompt))
    for stop in (["."], ["a", "there"], [text[7:12]], ["nowhere", " was a"]):
        new = list(generate(model, prompt, 40, stop=stop))
        assert new == tokens[: len(new)]
        texts = [
            "".join(tokenizer.stream(new[:n], after=prompt))
            for n in range(len(new) + 1)
        ]
        assert [any(s in t for s in stop) for t in texts] == [False] * len(new) + [True]
    assert list(generate(model, prompt, 40, stop=["Once"])) == tokens  # of the prompt


def test_it_says_why_a_text_ended(endless):
    def ended(model, prompt, *args, **options):
        tokens = generate(model, prompt, *args, **options)
        assert tokens.ended is None
        list(tokens)
        why = tokens.ended
        assert (next(tokens, None), tokens.ended) == (None, why)  # it stays so
        return why

    [_, second] = generate(endless, PROMPT, 2)
    assert ended(endless, PROMPT, 3) == ended(endless, PROMPT, 0) == "max_new_tokens"
    assert ended(ending(endless, second), PROMPT, 2) == "end of text"
    cache = KVCache(endless.config, len(PROMPT) + 2)
    assert ended(endless, PROMPT, 9, cache=cache) == "context"
    model, tokenizer = load()
    prompt = tokenizer.encode("Once upon a time")
    assert ended(model, prompt, 9, stop=["there"]) == "stop"
    assert ended(model, prompt, 9, stop=["nowhere"]) == "max_new_tokens"


def test_a_penalty_is_for_what_the_prompt_and_the_text_have(endless):
    plain = list(generate(endless, PROMPT, 12))
    tokens = list(generate(endless, PROMPT, 12, repetition_penalty=3.0))
    assert tokens != plain
    text = list(PROMPT)
    for token in tokens:  # as if each were the first
        logits = forward(endless, text, last=True)
        assert token == penalize(logits, text, 3.0).argmax()
        text.append(token)


@pytest.mark.parametrize("stop", ["two", [""], [7], [None, "a"]])
def test_what_is_no_list_of_texts_is_no_stop(stop):
    model, _ = load()
    with pytest.raises(ValueError, match="stop must be a list of texts, none empty"):
        generate(model, [1], stop=stop)


def test_without_a_tokenizer_there_is_no_stop_string(model):
    with pytest.raises(ValueError, match="stop must be empty: .* without tokenizer"):
        generate(model, PROMPT, stop=["a"])


def test_whoever_asks_for_a_token_pays_for_it(endless):
    cache = KVCache(endless.config, capacity=64)
    tokens = generate(endless, PROMPT, cache=cache)
    assert cache.length == 0
    next(tokens)
    assert cache.length == len(PROMPT)
    next(tokens)
    assert cache.length == len(PROMPT) + 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_new_tokens": -1}, "max_new_tokens must be 0 or above, got -1"),
        ({"temperature": -1}, "temperature must be"),
        ({"top_k": -1}, "top_k must be"),
        ({"top_p": 0}, "top_p must be"),
        ({"min_p": 2}, "min_p must be"),
        ({"repetition_penalty": 0}, "repetition_penalty must be"),
        ({"ids": []}, "ids must be at least one"),
        ({"ids": [97]}, "ids must be from 0 to 96, got 97"),
        ({"ids": np.zeros(65, int)}, "room for 64, got 65"),
    ],
)
def test_a_mistake_is_refused_at_the_call(model, options, message):
    with pytest.raises(ValueError, match=message):
        generate(model, **{"ids": PROMPT} | options)


def test_a_prompt_that_the_cache_cannot_take_is_refused_at_the_call(model):
    cache = KVCache(model.config, capacity=3)
    with pytest.raises(ValueError, match="room for 3, got 4"):
        generate(model, PROMPT, cache=cache)
