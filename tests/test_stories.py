"""The built-in model: what it is, what it knows, what its card says."""

import importlib.util
import json
import re
import socket

import numpy as np
import pytest
from shared import DATA, ROOT, needs_shared

import minibitnet as mb
from minibitnet.checkpoint.open import open_checkpoint
from minibitnet.cli import main
from minibitnet.commands import options
from minibitnet.evaluation.score import bits_per_byte
from minibitnet.stories import BUILT_IN
from minibitnet.training.texts import read_documents

CARD = (BUILT_IN / "MODEL_CARD.md").read_text(encoding="utf-8")
STORY = """\
Lily and Tom went to the park with their mom. They saw a big tree with red apples. "Can
we have one?" Tom asked. Mom smiled and said yes. They sat in the sun and ate. They were
very happy."""


@pytest.fixture(scope="module")
def built_in():
    return mb.load()


def test_it_has_what_makes_2b4t_what_it_is(built_in):
    model, _ = built_in
    config = model.config
    assert config.num_attention_heads == 4 * config.num_key_value_heads
    assert config.hidden_act == "relu2"
    assert model.layers[0].mlp.ffn_sub_norm is not None
    assert built_in[0].lm_head is built_in[0].embed_tokens
    stored = {tensor.dtype for tensor in open_checkpoint(BUILT_IN).tensors.values()}
    assert stored == {"U8", "BF16", "F32"}  # F32: the scales


def test_it_fits_in_a_small_wheel():
    assert sum(file.stat().st_size for file in BUILT_IN.iterdir()) < 8e6


def test_it_has_learned_english(built_in):
    story = STORY.replace("\n", " ")
    cost = bits_per_byte(*built_in, [story])
    backwards = bits_per_byte(*built_in, [" ".join(reversed(story.split()))])
    assert cost < 1.1
    assert backwards > 2 * cost


def test_answers_are_about_what_was_asked_for_and_end(built_in):
    model, tokenizer = built_in
    animals = ("fox", "dog", "bear", "cat", "bird")
    asked = others = ended = 0
    for animal in animals:
        request = {"role": "user", "content": f"Tell me a story about a {animal}."}
        ids = tokenizer.chat([request])
        options = {"temperature": 0.6, "top_p": 0.9}
        new = list(mb.generate(model, ids, max_new_tokens=300, **options))
        story = tokenizer.decode(new)
        asked += animal in story
        others += sum(other in story for other in animals if other != animal)
        ended += new[-1] in model.config.eos_token_ids
    # By chance an animal is in a story as often as any other: a fourth of `others`.
    assert asked >= 2
    assert asked > others / 4
    assert ended >= 3


def test_without_a_model_the_command_takes_it_and_says_so_once(capsys, monkeypatch):
    def no_network(*args):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", no_network)
    words = ["--max-new-tokens", "20", "--temperature", "0"]
    status = main(["generate", "Once upon a time", *words])
    out, err = capsys.readouterr()
    assert status == 0
    assert out.startswith("Once upon a time, there was")
    assert err.count(options.SMALL_MODEL) == 1
    assert "microsoft/bitnet-b1.58-2B-4T" in err
    main(["generate", "Hi", "--max-new-tokens", "1", "--model", str(BUILT_IN)])
    assert options.SMALL_MODEL not in capsys.readouterr().err


def test_the_log_tells_of_every_matrix():
    lines = (BUILT_IN / "training.jsonl").read_text().splitlines()
    reports = [json.loads(line) for line in lines]
    config = mb.load()[0].config
    assert len(reports) > 20
    assert reports[-1]["loss"] < reports[0]["loss"] / 2
    for report in reports:
        assert len(report["codes"]) == 7 * config.num_hidden_layers
        for shares in report["codes"].values():
            assert sum(shares) == pytest.approx(1, abs=1e-3)


def test_the_card_names_the_files_and_terms():
    for name in re.findall(r"\]\((\S+)\)|`(\S+\.jsonl)`", CARD):
        assert (BUILT_IN / "".join(name)).is_file()
    for word in ("CDLA-Sharing-1.0", "MIT", "--seed 0", "bits per byte"):
        assert word in CARD


def tool(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def endings():
    return tool("story_endings")


def test_questions_have_the_storys_own_ending_among_others(endings):
    stories = [f'Tom saw {n}.\n\n"Look!" he said. He ate {n}.' for n in range(6)]
    questions = list(endings.make_questions([*stories, "One sentence only."]))
    assert len(questions) == 6
    for n, question in enumerate(questions):
        assert question["story"] == f'Tom saw {n}.\n\n"Look!" he said.'
        assert question["endings"][question["right"]] == f"He ate {n}."
        assert len({*question["endings"]}) == 4
    assert [question["right"] for question in questions] == [0, 1, 2, 3, 0, 1]
    same = list(endings.make_questions([*stories, stories[0]]))
    assert all(len({*question["endings"]}) == 4 for question in same)


def test_the_share_of_right_choices_is_by_the_whole_and_by_a_character(endings):
    questions = [
        {"story": "a", "endings": ["bbbb", "cc", "d", "e"], "right": 0},
        {"story": "a", "endings": ["bbbb", "cc", "d", "e"], "right": 1},
    ]
    scores = [-4.0, -3.0, -5.0, -5.0] * 2
    answers = [(score, False) for score in scores]
    asked = []

    class Fixed:
        def loglikelihood(self, requests):
            asked.extend(request.args for request in requests)
            return answers

    assert endings.measure(Fixed(), questions) == [0.5, 0.5]
    assert asked[:2] == [("a", " bbbb"), ("a", " cc")]
    answers[:4] = [(-9.0, False), (-1.0, False), (-5.0, False), (-5.0, False)]
    assert endings.measure(Fixed(), questions) == [0.5, 0.0]
    assert endings.standard_error(0.5, 101) == pytest.approx(0.05)


@pytest.fixture(scope="module")
def judge(tmp_path_factory):
    """The stories that were held out."""
    folder = tmp_path_factory.mktemp("prepared")
    tool("prepare_stories").main(DATA / "text", folder)
    return folder / "judge.txt"


@needs_shared
def test_the_cards_bits_per_byte_are_what_they_are(built_in, judge):
    cost = bits_per_byte(*built_in, read_documents([judge]))
    said = float(re.search(r"\*\*(\S+) bits per byte\*\*", CARD).group(1))
    assert cost == pytest.approx(said, abs=0.002)


@needs_shared
def test_the_cards_perplexity_and_endings_are_what_its_commands_print(
    endings, judge, tmp_path, capsys
):
    endings.main(judge, tmp_path)
    printed = re.findall(r"acc\S* +(\S+) \+/- (\S+)", capsys.readouterr().out)
    said = re.findall(r"\*\*(\S+)%\*\* ± (\S+)%", CARD)
    found = [[100 * float(number) for number in row] for row in printed]
    assert np.ravel(found) == pytest.approx([float(n) for n in np.ravel(said)], abs=0.1)
    assert main(["perplexity", str(tmp_path / "held_out.txt")]) == 0
    found = re.search(r"perplexity +(\S+) \+/- (\S+)", capsys.readouterr().out)
    said = re.search(r"\| \*\*(\S+)\*\* ± (\S+), in chunks", CARD)
    for theirs, ours in zip(found.groups(), said.groups(), strict=True):
        assert float(theirs) == pytest.approx(float(ours), abs=0.01)
