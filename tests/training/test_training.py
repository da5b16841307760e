import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

import minibitnet as mb
from minibitnet import CheckpointError, bf16
from minibitnet.cli import main
from minibitnet.checkpoint.configfile import parse_config
from minibitnet.files.published import CONFIG
from minibitnet.files.tensorfile import read_tensors
from minibitnet.packing import unpack
from minibitnet.training import loop
from minibitnet.training.adamw import AdamW, clip
from minibitnet.training.export import export
from minibitnet.evaluation.score import bits, bits_per_byte
from minibitnet.training.loop import (
    Settings,
    draw_parameters,
    load_state,
    save_state,
    share_of_codes,
    train,
)
from minibitnet.training.network import Rounding, forward, round_matrices
from minibitnet.training.schedule import Schedule
from minibitnet.training.texts import (
    draw_batch,
    encode_documents,
    read_documents,
    split_documents,
)
from minibitnet.training.vocabulary import SMALLEST, save_vocabulary, train_vocabulary

CONTENT = CONFIG | {
    "hidden_size": 32,
    "intermediate_size": 52,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 32,
    "vocab_size": 280,
    "rope_theta": 10_000.0,
    "eos_token_id": [278, 279],
}
CONTEXT = 16
STORY = "The fox saw the crow. The crow had cheese. The fox wanted the cheese. "
DOCUMENTS = [STORY * n for n in (1, 2, 3, 1, 2, 3)]
SCHEDULE = Schedule(steps=40, warmup=4, high=1e-2, low=5e-3, peak_decay=0.1)


@pytest.fixture(scope="module")
def inner():
    return train_vocabulary(DOCUMENTS, CONTENT["vocab_size"])


@pytest.fixture(scope="module")
def row(inner):
    return encode_documents(inner, DOCUMENTS)


def start():
    return AdamW(draw_parameters(parse_config(CONTENT), seed=5))


def run(optimizer, row, **changes):
    settings = Settings(SCHEDULE, **{"texts": 4, "context": CONTEXT} | changes)
    return [r["loss"] for r in train(optimizer, parse_config(CONTENT), row, settings)]


@pytest.fixture(scope="module")
def trained(row):
    optimizer = start()
    return optimizer.parameters, run(optimizer, row)


def test_a_model_learns(trained):
    _, losses = trained
    assert losses[0] == pytest.approx(np.log(280), rel=0.05)  # it knows nothing
    assert np.mean(losses[-5:]) < 0.7 * losses[0]


@pytest.mark.parametrize(
    "rounding", [Rounding(False, False), Rounding(True, False), Rounding(False, True)]
)
def test_what_is_not_rounded_learns_too(row, rounding):
    losses = run(start(), row, rounding=rounding)
    assert np.mean(losses[-5:]) < 0.7 * losses[0]


def test_the_same_seed_gives_the_same_weights(row, trained):
    optimizer = start()
    assert run(optimizer, row) == trained[1]
    for name, array in trained[0].items():
        assert_array_equal(optimizer.parameters[name], array, strict=True)
    assert run(start(), row, seed=1) != trained[1]


def test_threads_share_the_work_and_change_nothing(row, monkeypatch):
    monkeypatch.setattr(loop, "SHARE", 2 * CONTEXT)  # two shares, not one
    assert run(start(), row, threads=1) == run(start(), row, threads=3)


def test_shares_change_last_bits_only(row, trained, monkeypatch):
    monkeypatch.setattr(loop, "SHARE", CONTEXT)
    losses = run(start(), row)
    # Sums in another order; a code that flips for it later on shows more.
    assert_allclose(losses[:5], trained[1][:5], rtol=1e-5)


def test_a_training_that_was_broken_off_goes_on_as_if_nothing_had_happened(
    row, trained, tmp_path
):
    optimizer = start()
    settings = Settings(SCHEDULE, texts=4, context=CONTEXT)
    for report in train(optimizer, parse_config(CONTENT), row, settings):
        if report["step"] == 16:
            save_state(optimizer, tmp_path / "state.npz")
            break
    again = AdamW(draw_parameters(parse_config(CONTENT), seed=77))
    load_state(again, tmp_path / "state.npz")
    assert run(again, row) == trained[1][17:]
    for name, array in trained[0].items():
        assert_array_equal(again.parameters[name], array, strict=True)


def test_the_state_of_another_model_is_refused(tmp_path):
    save_state(start(), tmp_path / "state.npz")
    other = parse_config(CONTENT | {"hidden_size": 64, "head_dim": 8})
    with pytest.raises(
        CheckpointError, match=r"expected \(280, 64\), found \(280, 32\)"
    ):
        load_state(AdamW(draw_parameters(other, 0)), tmp_path / "state.npz")
    deeper = parse_config(CONTENT | {"num_hidden_layers": 3})
    with pytest.raises(CheckpointError, match="layers.2.*found none"):
        load_state(AdamW(draw_parameters(deeper, 0)), tmp_path / "state.npz")


def test_adamw_is_that_of_the_paper():
    rng = np.random.default_rng(0)
    w = {"a_proj": rng.standard_normal(3), "gain": rng.standard_normal(3)}
    plain = {name: array.copy() for name, array in w.items()}
    m, v = ({name: 0.0 for name in w} for _ in range(2))
    optimizer = AdamW(w)
    for t in range(1, 6):
        g = {name: rng.standard_normal(3) for name in w}
        optimizer.step(g, rate=0.1, decay=0.2)
        for name, decay in (("a_proj", 0.2), ("gain", 0.0)):
            m[name] = 0.9 * m[name] + 0.1 * g[name]
            v[name] = 0.95 * v[name] + 0.05 * g[name] ** 2
            m_hat, v_hat = m[name] / (1 - 0.9**t), v[name] / (1 - 0.95**t)
            plain[name] -= 0.1 * (m_hat / (np.sqrt(v_hat) + 1e-8) + decay * plain[name])
    for name, array in plain.items():
        assert_allclose(w[name], array, rtol=1e-12)


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=5), st.floats(0.1, 50))
def test_clipping_shortens_and_keeps_the_direction(numbers, limit):
    before = np.array(numbers)
    gradients = {"a": before.copy()[:1], "b": before.copy()[1:]}
    assert clip(gradients, limit) == pytest.approx(np.linalg.norm(before))
    after = np.concatenate([gradients["a"], gradients["b"]])
    factor = min(1, limit / max(np.linalg.norm(before), 1e-300))
    assert_allclose(after, before * factor, rtol=1e-9)


def test_the_rate_warms_up_and_drops_halfway():
    rates = [SCHEDULE.rate(step) for step in range(SCHEDULE.steps)]
    assert rates[:4] == sorted(rates[:4])
    assert rates[19] > rates[20] == SCHEDULE.low
    assert rates[4:20] == sorted(rates[4:20], reverse=True)
    assert SCHEDULE.rate(0) == pytest.approx(SCHEDULE.high / 4)


# The closed loop: what was trained is written in two forms, read by the ordinary
# loader, and is the same model.


@pytest.fixture(scope="module")
def exported(trained, inner, tmp_path_factory):
    directory = tmp_path_factory.mktemp("exported")
    for form in ("packed", "master"):
        export(trained[0], CONTENT, directory / form, packed=form == "packed")
        save_vocabulary(inner, directory / form)
    return directory


def test_both_forms_are_the_same_model(exported, inner):
    (packed, tokenizer), (master, _) = (
        mb.load(exported / f) for f in ("packed", "master")
    )
    ids = tokenizer.encode("The fox")
    with mb.trace() as of_packed:
        mb.forward(packed, ids)
    with mb.trace() as of_master:
        mb.forward(master, ids)
    for name, array in of_packed.items():
        assert_array_equal(of_master[name], array, strict=True)
    written = [list(mb.generate(m, ids, max_new_tokens=20)) for m in (packed, master)]
    assert written[0] == written[1]


def test_the_loss_of_training_is_that_of_inference(exported, trained, row):
    # Training with the numbers that the file has, bfloat16, computes the same integers;
    # floats are added up in another order.
    rounded = {name: bf16.widen(bf16.narrow(w)) for name, w in trained[0].items()}
    config = parse_config(CONTENT)
    ids = row[: CONTEXT + 1]
    matrices = round_matrices(rounded, config, Rounding())
    nats, _ = forward(rounded, matrices, config, ids[None])
    model, _ = mb.load(exported / "packed")
    assert bits(model, ids) == pytest.approx(nats / np.log(2), rel=1e-5)


def test_the_codes_in_the_file_are_the_shares_in_the_log(exported, trained):
    tensors = read_tensors(exported / "packed" / "model.safetensors")
    rounded = {name: bf16.widen(bf16.narrow(w)) for name, w in trained[0].items()}
    for name, (minus, zero, plus) in share_of_codes(rounded).items():
        codes = unpack(tensors[name].array, rows=len(trained[0][name]))
        found = [(codes == code).mean() for code in (-1, 0, 1)]
        assert_allclose(found, [minus, zero, plus])


def test_a_trained_model_finds_its_own_text_likelier_than_another(exported):
    model, tokenizer = mb.load(exported / "packed")
    own = bits_per_byte(model, tokenizer, [STORY, STORY * 5])
    assert own < bits_per_byte(model, tokenizer, ["Quantization by absmax, per token!"])


def test_every_token_of_a_batch_follows_the_one_before_in_the_row():
    row = np.arange(1000)
    ids = draw_batch(row, texts=50, context=7, seed=0, step=3)
    assert ids.shape == (50, 8)
    assert_array_equal(ids - ids[:, :1], np.tile(np.arange(8), (50, 1)))
    assert ids.min() >= 0
    assert len(set(ids[:, 0])) > 40
    assert (draw_batch(row, 50, 7, 0, 4) != ids).any()
    assert draw_batch(row[:8], texts=3, context=7, seed=0, step=0).shape == (3, 8)


def test_documents_are_split_and_framed(inner, tmp_path):
    (tmp_path / "a").write_text("One.<|endoftext|>\n\nTwo.\n<|endoftext|>\n")
    (tmp_path / "b").write_text("Three.")
    files = [tmp_path / "a", tmp_path / "b"]
    assert read_documents(files) == ["One.", "Two.", "Three."]
    begin, end = (inner.token_to_id(f"<|{w}_of_text|>") for w in ("begin", "end"))
    row = encode_documents(inner, ["One.", "Two."])
    assert [begin, end] == [row[0], row[-1]]
    assert (row == begin).sum() == (row == end).sum() == 2
    assert inner.decode(row.tolist()) == "One.Two."
    (tmp_path / "c").write_text("  <|endoftext|> ")
    with pytest.raises(ValueError, match="c: expected text, found none"):
        read_documents([tmp_path / "c"])


def test_an_answer_is_encoded_by_itself(inner):
    row = encode_documents(inner, ["User: Hi<|eot_id|>Assistant: The fox<|eot_id|>"])
    prompt = inner.encode("User: Hi<|eot_id|>Assistant: ").ids
    assert row[: len(prompt)].tolist() == prompt
    assert inner.decode(row[len(prompt) :].tolist()) == "The fox"


@pytest.mark.parametrize(("share", "judged"), [(0, 0), (0.1, 2), (0.25, 5), (0.9, 10)])
def test_a_share_of_documents_is_held_out(share, judged):
    documents = [str(n) for n in range(20)]
    learn, judge = split_documents(documents, share)
    assert len(judge) == judged
    assert sorted(learn + judge, key=int) == documents


@given(text=st.text(max_size=20).filter(lambda text: "<|" not in text))
def test_a_vocabulary_of_bytes_spells_anything(text):
    plain = train_vocabulary([], SMALLEST)
    ids = plain.encode(text, add_special_tokens=False).ids
    assert plain.decode(ids) == text
    assert len(ids) == len(text.encode())


def test_a_vocabulary_without_room_for_the_bytes_is_refused():
    with pytest.raises(ValueError, match="size must be 259 or more, got 258"):
        train_vocabulary([], SMALLEST - 1)


def test_numbers_are_split_in_threes(inner):
    assert inner.pre_tokenizer.pre_tokenize_str("a 12345") == [
        ("a", (0, 1)),
        ("Ġ", (1, 2)),
        ("123", (2, 5)),
        ("45", (5, 7)),
    ]


# The command


def words(tmp_path, *more):
    file = tmp_path / "text.txt"
    file.write_text("<|endoftext|>".join(DOCUMENTS * 3))
    sizes = ["--hidden-size", "32", "--intermediate-size", "52", "--layers", "2"]
    sizes += [
        "--heads",
        "4",
        "--kv-heads",
        "2",
        "--vocab-size",
        "270",
        "--context",
        "16",
    ]
    run = ["--texts", "4", "--steps", "12", "--save-every", "5", "--threads", "2"]
    return ["train", str(file), *sizes, *run, *more]


def test_train_writes_a_model_that_the_other_commands_run(tmp_path, capsys):
    out = tmp_path / "out"
    (tmp_path / "judge.txt").write_text("<|endoftext|>".join(DOCUMENTS[:2]))
    assert main(words(tmp_path, "--out", str(out), "--held-out", "0.1")) == 0
    assert "bits per byte on 1 documents held out" in capsys.readouterr().out
    judge = ("--judge", str(tmp_path / "judge.txt"))  # all is trained: only judges
    assert main(words(tmp_path, "--out", str(out), *judge)) == 0
    assert "bits per byte on 2 documents held out" in capsys.readouterr().out
    log = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in log] == list(range(12))
    assert [line["step"] for line in log if "codes" in line] == [4, 9, 11]
    assert main(["inspect", str(out)]) == 0
    for directory in (out, out / "master"):
        assert main(["generate", "The", "--model", str(directory)]) == 0
    assert mb.load(out)[0].config.eos_token_ids == {268, 269}


def test_train_goes_on_where_it_was_broken_off(tmp_path, monkeypatch):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    main(words(tmp_path, "--out", str(whole), "--held-out", "0"))

    from minibitnet.commands import train as command

    def interrupted(*args):
        for report in train(*args):
            yield report
            if report["step"] == 7:
                raise KeyboardInterrupt

    monkeypatch.setattr(command, "train", interrupted)
    assert main(words(tmp_path, "--out", str(broken), "--held-out", "0")) == 130
    monkeypatch.undo()
    main(words(tmp_path, "--out", str(broken), "--held-out", "0"))
    weights = [(d / "model.safetensors").read_bytes() for d in (whole, broken)]
    assert weights[0] == weights[1]
    curves = [
        [
            json.loads(line)["loss"]
            for line in (d / "log.jsonl").read_text().splitlines()
        ]
        for d in (whole, broken)
    ]
    assert curves[0] == curves[1]


def test_too_little_text_is_refused(tmp_path, capsys):
    (tmp_path / "short").write_text("a")
    command = ["train", str(tmp_path / "short"), "--out", str(tmp_path / "out")]
    assert main(command) == 2
    assert "text must be more than 256 tokens, got 3" in capsys.readouterr().err
