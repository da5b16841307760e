# What lm_eval's Hugging Face backend answered is recorded by tools/record_harness.py.

import json
import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

import minibitnet as mb
from minibitnet.evaluation import harness
from minibitnet.evaluation.harness import Adapter
from minibitnet.evaluation.questions import LIMITS, Pair, parse_wish
from minibitnet.stories import BUILT_IN
from minibitnet.tokenizer import Tokenizer

RECORDED = json.loads(Path(__file__).with_name("harness.json").read_text())
ALIKE = ("eager", "sdpa")  # two float32 runs of transformers
PAIRS = [(q, end) for q, ends in RECORDED["questions"].items() for end in ends]
# Of the log-likelihoods of 24 continuations eager and sdpa differ by 0.04 at most, here
# and there; which of them it is depends on where an activation falls on another code.
TOLERANCE = 0.01  # of the log-likelihood


def ask(*arguments):
    return [SimpleNamespace(args=each) for each in arguments]


@pytest.fixture(scope="module")
def adapter():
    return Adapter()


@pytest.mark.parametrize("attention", ALIKE)
def test_continuations_are_as_likely_as_transformers_finds_them(adapter, attention):
    found = adapter.loglikelihood(ask(*PAIRS))
    expected = RECORDED[attention]["loglikelihood"]
    for (logprob, greedy), (theirs, theirs_greedy) in zip(found, expected, strict=True):
        assert logprob == pytest.approx(theirs, rel=TOLERANCE)
        assert greedy == theirs_greedy
    choices = np.reshape([logprob for logprob, _ in found], (-1, 3)).argmax(axis=1)
    assert_array_equal(choices, 0)  # the right ones


@pytest.mark.parametrize("attention", ALIKE)
def test_whole_texts_are_as_likely_as_transformers_finds_them(adapter, attention):
    found = adapter.loglikelihood_rolling(ask(*((t,) for t in RECORDED["texts"])))
    assert found == pytest.approx(RECORDED[attention]["rolling"], rel=TOLERANCE / 3)


@pytest.mark.parametrize("attention", ALIKE)
def test_texts_are_those_of_transformers(adapter, attention):
    options, theirs = RECORDED["options"], RECORDED[attention]
    asked = ask(*((context, options) for context in RECORDED["contexts"]))
    assert adapter.generate_until(asked) == theirs["written"]
    chat = adapter.apply_chat_template(RECORDED["messages"])
    assert chat == theirs["chat"]
    assert adapter.generate_until(ask((chat, options))) == theirs["answer"]


WORDS = st.lists(st.sampled_from(" the,cat, sat, and, on,a ,.".split(",")), max_size=6)


@settings(max_examples=20)  # each runs the built-in model ten times
@given(data=st.data())
def test_answers_do_not_depend_on_what_was_asked_before(adapter, data):
    text = WORDS.map("".join)
    asked = data.draw(st.lists(st.tuples(text, text.filter(len)), max_size=5))
    found = adapter.loglikelihood(ask(*asked))
    for (context, continuation), (logprob, greedy) in zip(asked, found, strict=True):
        before, after = adapter.encode_pair(context, continuation)
        logits = mb.forward(adapter.model, before + after[:-1])[-len(after) :]
        scores = mb.score(adapter.model, before + after)[-len(after) :]
        assert logprob == pytest.approx(math.fsum(scores), rel=1e-12)
        assert greedy == (logits.argmax(axis=1).tolist() == after)


def test_what_questions_have_in_common_is_read_once(monkeypatch):
    adapter, read = Adapter(), []
    forward = mb.forward

    def count(model, ids, *args, **options):
        read.append(len(ids))
        return forward(model, ids, *args, **options)

    for module in ("minibitnet.decode.forward", "minibitnet.evaluation.score.forward"):
        monkeypatch.setattr(module, count)
    story = "Once upon a time, there was a little girl named Lily. She had a"
    context = len(adapter.encode(story))
    ends = (" cat", " dog", " ball")
    ids = [adapter.encode_pair(story, end).continuation for end in ends]
    assert [*map(len, ids)] == [1, 1, 1]
    adapter.loglikelihood(ask(*((story, end) for end in ends)))
    assert sum(read) == context + 2  # and not three times as many
    read.clear()
    adapter.generate_until(ask((story, {"max_gen_toks": 1})))
    assert sum(read) == 1


def test_a_context_that_is_too_long_loses_its_beginning():
    short, long = Adapter(max_length=9), Adapter()
    context, end = "Once upon a time, there was a little", " girl named Lily"
    before, after = long.encode_pair(context, end)
    kept = [*before, *after][-10:]
    expected = mb.score(long.model, kept)[-len(after) :].sum()
    assert short.loglikelihood(ask((context, end)))[0][0] == pytest.approx(expected)
    options = {"max_gen_toks": 4, "until": "\n"}
    new = mb.generate(long.model, before[-5:], 4)
    assert short.generate_until(ask((context, options))) == [long.tokenizer.decode(new)]
    with pytest.raises(ValueError, match="must have 1 to 9 tokens, got 10"):
        short.score_pair(Pair([1], [2] * 10))
    with pytest.raises(ValueError, match="must have 1 to 9 tokens, got 0"):
        short.score_pair(Pair([1], []))
    with pytest.raises(ValueError, match="new tokens must be below 9, got 9"):
        short.generate_until(ask((context, {"max_gen_toks": 9})))


@pytest.mark.parametrize("length", [1, 2, 3, 7, 8])
def test_a_whole_text_is_read_in_windows_each_token_scored_once(length):
    adapter = Adapter(max_length=3, add_bos_token=False)
    ids = adapter.tokenizer.encode(RECORDED["texts"][0], bos=False)[:length]
    every = [adapter.prefix, *ids]
    # as in the example that stands in lm_eval, for a context of 4
    cuts = {
        1: [(0, 2, 1)],
        2: [(0, 3, 2)],
        3: [(0, 4, 3)],
        7: [(0, 4, 3), (3, 7, 3), (4, 8, 1)],
        8: [(0, 4, 3), (3, 7, 3), (5, 9, 2)],
    }[length]
    expected = sum(
        mb.score(adapter.model, every[start:end])[-new:].sum()
        for start, end, new in cuts
    )
    assert adapter.score_whole(ids) == pytest.approx(expected)


def test_begin_of_text_is_as_the_settings_have_it(adapter):
    bos = adapter.tokenizer.bos_ids
    bare = Adapter(add_bos_token=False)
    assert adapter.prefix == bare.prefix == bos[0]
    assert adapter.encode("the")[:1] == bos
    assert bare.encode("the") == adapter.encode("the")[1:]
    assert bare.encode("") == bos  # there must be a token
    for each in (adapter, bare):
        assert each.encode_pair("", "the cat").context == bos
        begun = each.encode_pair("", "<|begin_of_text|>the")
        assert begun == (bos, bare.encode("the"))
    assert bare.encode_pair(" ", "the") == (bos, bare.encode(" the"))
    assert bare.encode_pair("a ", "cat") == (bare.encode("a"), bare.encode(" cat"))


def test_where_there_is_no_begin_of_text_it_is_an_end_of_text(adapter, monkeypatch):
    other = Tokenizer(adapter.tokenizer.inner, None)
    other.bos_ids = []
    monkeypatch.setattr(adapter, "tokenizer", other)
    assert adapter.prefix == adapter.model.config.eos_token_ids[0]


@pytest.mark.parametrize(
    ("options", "limit", "stop", "sampling"),
    [
        ({}, 256, [], {"temperature": 0.0}),
        ({"until": ".", "max_tokens": 9}, 9, ["."], {"temperature": 0.0}),
        ({"until": ["a", ""], LIMITS[3]: 3}, 3, ["a"], {"temperature": 0.0}),
        ({"max_new_tokens": 5, "max_gen_toks": 4}, 4, [], {"temperature": 0.0}),
        ({"do_sample": False, "temperature": 0.7}, 256, [], {"temperature": 0.0}),
        (
            {"temperature": 0.7, "top_p": 0.9},
            256,
            [],
            {"temperature": 0.7, "top_p": 0.9},
        ),
        (
            {"do_sample": True, "temperature": 1, "top_k": 5, "until": None},
            *(256, [], {"temperature": 1, "top_k": 5}),
        ),
    ],
)
def test_what_a_task_asks_for_is_understood(options, limit, stop, sampling):
    wish = parse_wish([1], options, 7)
    assert wish == ([1], limit, stop, sampling, 7)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_beams": 4}, "generation option num_beams is not known, only until"),
        ({"do_sample": True}, "do_sample needs a temperature above 0"),
        ({"do_sample": True, "temperature": 0.0}, "needs a temperature above 0"),
    ],
)
def test_what_is_not_understood_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        parse_wish([1], options, 0)


def test_a_text_ends_where_the_first_stop_string_begins(adapter):
    context = "Once upon a time"
    [text] = adapter.generate_until(ask((context, {"max_gen_toks": 12})))
    assert text.startswith(", there was a little girl named Lily")
    options = {"until": ["named", " girl", "xyz"], "max_gen_toks": 12}
    assert adapter.generate_until(ask((context, options))) == [", there was a little"]


def test_texts_that_are_drawn_differ_by_their_place_and_can_be_had_again(adapter):
    options = {"temperature": 1.0, "max_gen_toks": 8}
    asked = ask(*[("Once upon a time", options)] * 4)
    texts = adapter.generate_until(asked)
    assert texts == adapter.generate_until(asked)
    assert len({*texts}) > 1


def test_a_last_message_can_go_on(adapter):
    messages = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": " Once "},
    ]
    text = adapter.apply_chat_template(messages, add_generation_prompt=False)
    assert text == "User: Hi<|eot_id|>Assistant: Once"
    assert adapter.chat_template(True) == adapter.tokenizer.chat_template
    assert adapter.chat_template() is None


def test_answers_are_kept_as_they_come(adapter, monkeypatch):
    kept = []
    hook = SimpleNamespace(add_partial=lambda *found: kept.append(found))
    monkeypatch.setattr(adapter, "cache_hook", hook)
    found = adapter.loglikelihood(ask(("a", " cat"), ("a", " boy")))
    assert sorted(kept) == sorted(
        ("loglikelihood", ("a", end), answer)
        for end, answer in zip((" cat", " boy"), found, strict=True)
    )


def test_a_checkpoint_that_cannot_be_asked_is_refused(checkpoint):
    with pytest.raises(ValueError, match="expected a tokenizer, found none"):
        Adapter(str(checkpoint))
    for length in (0, 385):
        with pytest.raises(ValueError, match=f"must be 1 to 384, got {length}"):
            Adapter(max_length=length)
    assert Adapter(str(BUILT_IN)).tokenizer_name == str(BUILT_IN).replace("/", "__")


def test_in_the_harness_itself(tmp_path):
    evaluator = pytest.importorskip("lm_eval.evaluator")
    from lm_eval.tasks import TaskManager

    data = tmp_path / "questions.jsonl"
    with data.open("w") as file:
        for question, ends in RECORDED["questions"].items():
            file.write(json.dumps({"question": question, "ends": ends}) + "\n")
    (tmp_path / "task.yaml").write_text(f"""\
task: going_on
dataset_path: json
dataset_kwargs:
  data_files:
    test: {data}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{question}}}}"
doc_to_choice: ends
doc_to_target: 0
target_delimiter: ""
metric_list:
  - metric: acc
""")
    harness.register()
    results = evaluator.simple_evaluate(
        "minibitnet",
        tasks=["going_on"],
        task_manager=TaskManager(include_path=str(tmp_path)),
        bootstrap_iters=0,
    )
    assert results["results"]["going_on"]["acc,none"] == 1
