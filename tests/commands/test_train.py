import argparse
import json
import os
import shutil

import numpy as np
import pytest
from killed import run_killed

import minibitnet as mb
from minibitnet.cli import main
from minibitnet.commands import train as command
from minibitnet.files.writing import claim
from minibitnet.training.loop import Settings
from minibitnet.training.schedule import Schedule

STORY = "The fox saw the crow. The crow had cheese. The fox wanted the cheese. "
DOCUMENTS = [STORY * n for n in (1, 2, 3)]
OPTIONS = """\
--hidden-size 32 --intermediate-size 52 --layers 2 --heads 4 --kv-heads 2
--vocab-size 270 --context 16 --batch-size 4 --steps 12 --save-every 5 --threads 2
""".split()


@pytest.fixture
def text(tmp_path):
    file = tmp_path / "text.txt"
    file.write_text("<|endoftext|>".join(DOCUMENTS * 6))
    return file


def train(text, out, *more):
    return main(["train", str(text), "--out", str(out), *OPTIONS, *map(str, more)])


def read_log(out):
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


def test_train_writes_a_model_that_the_other_commands_run(text, tmp_path, capsys):
    out = tmp_path / "out"
    assert train(text, out, "--held-out", 0.1) == 0
    assert "bits per byte on 1 documents held out" in capsys.readouterr().out
    assert main(["inspect", str(out)]) == 0
    for directory in (out, out / "master"):
        capsys.readouterr()
        words = ["generate", "The", "--model", str(directory), "--max-new-tokens", "5"]
        assert main(words) == 0
        assert capsys.readouterr().out.startswith("The")
    config = mb.load(out)[0].config
    assert config.eos_token_ids == (268, 269)
    assert (config.hidden_size, config.intermediate_size) == (32, 52)
    assert (config.num_attention_heads, config.num_key_value_heads) == (4, 2)
    assert (config.num_hidden_layers, config.vocab_size) == (2, 270)
    assert config.max_position_embeddings == 16


def test_the_log_has_a_line_for_each_step_and_shares_where_it_was_saved(text, tmp_path):
    rates = ("--peak-lr", 0.25, "--second-lr", 0.125, "--decay", 0.5, "--warmup", 2)
    assert train(text, tmp_path / "out", "--held-out", 0, *rates, "--clip", 0.01) == 0
    lines = read_log(tmp_path / "out")
    assert [line["step"] for line in lines] == list(range(12))
    assert [line["step"] for line in lines if "codes" in line] == [4, 9, 11]
    for line in lines:
        assert line.keys() - {"codes"} == {
            *("step", "loss", "rate", "decay", "gradient", "seconds")
        }
    found = [lines[step]["rate"] for step in (0, 6)]
    assert found == pytest.approx([0.125, 0.125])  # half of the peak; the second
    peak = 0.5 * (1 - np.cos(2 * np.pi * 5 / 12)) / 2
    assert lines[5]["decay"] == pytest.approx(peak)


def test_each_option_has_its_place_in_the_settings():
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    words = "text --out out --steps 9 --warmup 1 --peak-lr 0.3 --second-lr 0.2"
    words += " --decay 0.1 --batch-size 5 --context 7 --clip 0.5 --seed 3 --threads 4"
    assert command.make_settings(parser.parse_args(words.split())) == Settings(
        Schedule(steps=9, warmup=1, high=0.3, low=0.2, peak_decay=0.1),
        batch_size=5,
        context=7,
        clip=0.5,
        seed=3,
        threads=4,
    )


def test_without_documents_held_out_nothing_is_said_of_them(text, tmp_path, capsys):
    assert train(text, tmp_path / "out", "--held-out", 0) == 0
    assert capsys.readouterr().out == ""


def test_validation_may_have_a_file_of_its_own(text, tmp_path, capsys):
    (tmp_path / "other.txt").write_text("<|endoftext|>".join(DOCUMENTS[:2]))
    words = (text, tmp_path / "out", "--validation", tmp_path / "other.txt")
    assert train(*words) == 0
    said = capsys.readouterr().out
    assert "bits per byte on 2 documents held out" in said
    before = (tmp_path / "out" / "log.jsonl").read_bytes()
    assert train(*words) == 0  # it is trained to the end: only the validation is left
    assert capsys.readouterr().out == said
    assert (tmp_path / "out" / "log.jsonl").read_bytes() == before


def test_the_same_command_resumes_a_training_that_was_interrupted(
    text, tmp_path, monkeypatch
):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert train(text, whole, "--held-out", 0) == 0
    steps = command.train

    def interrupted(*args):
        for report in steps(*args):
            yield report
            if report.step == 7:
                raise KeyboardInterrupt

    monkeypatch.setattr(command, "train", interrupted)
    assert train(text, broken, "--held-out", 0) == 130
    assert not (broken / "model.safetensors").exists()
    assert len(read_log(broken)) == 8  # three more than were saved
    monkeypatch.undo()
    assert train(text, broken, "--held-out", 0) == 0
    for file in ("model.safetensors", "master/model.safetensors", "tokenizer.json"):
        assert (broken / file).read_bytes() == (whole / file).read_bytes()
    logs = [read_log(out) for out in (whole, broken)]
    for line in sum(logs, []):
        del line["seconds"]
    assert logs[0] == logs[1]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A text, and what a training on it comes to that was not interrupted."""
    directory = tmp_path_factory.mktemp("finished")
    (directory / "text.txt").write_text("<|endoftext|>".join(DOCUMENTS * 6))
    assert train(directory / "text.txt", directory / "out", "--held-out", 0) == 0
    return directory / "text.txt", directory / "out"


@pytest.fixture
def out(finished, tmp_path):
    shutil.copytree(finished[1], tmp_path / "out")
    return tmp_path / "out"


def results(out):
    """The files of a directory that do not depend on the time they took."""
    clock = ("log.jsonl", "state.npz")  # a zip file has dates
    return {
        file.relative_to(out): file.read_bytes()
        for file in out.rglob("*")
        if file.is_file() and file.name not in clock
    }


@pytest.mark.parametrize("moves", range(0, 10, 3))
def test_a_killed_training_is_no_model_and_is_resumed(finished, tmp_path, moves):
    text, whole = finished
    out = tmp_path / "out"
    words = ("train", text, "--out", out, *OPTIONS, "--held-out", 0)
    assert run_killed(moves, *words)
    for directory in (out, out / "master"):
        if directory.exists() and (directory / "config.json").exists():
            assert moves > 5  # the masters come as a whole
            mb.load(directory)
        else:
            with pytest.raises(mb.CheckpointError):
                mb.load(directory)
    assert not (out / "config.json").exists()
    assert train(text, out, "--held-out", 0) == 0
    assert results(out) == results(whole)
    assert not (out / ".unfinished").exists()


def test_a_finished_training_is_written_anew_or_is_no_model(finished, out):
    text, whole = finished
    words = ("train", text, "--out", out, *OPTIONS, "--held-out", 0)
    for moves in range(20):
        if not run_killed(moves, *words):
            break
        if (out / "config.json").exists():
            assert results(out).items() >= results(whole).items()
    assert moves > 5
    assert results(out) == results(whole)


@pytest.mark.parametrize(
    ("file", "content", "complaint"),
    [
        ("state.npz", b"PK", "state.npz: expected the state of a training"),
        ("log.jsonl", b"{}", "log.jsonl: line 1: expected that of step 0"),
        ("training.json", b"{", "training.json: expected JSON"),
        ("training.json", b"{}", "--seed: the run was begun with None, now 0"),
    ],
)
def test_a_damaged_training_is_refused_in_one_line(
    finished, out, capsys, file, content, complaint
):
    (out / file).write_bytes(content)
    before = results(out)
    assert train(finished[0], out, "--held-out", 0) == 2
    said = capsys.readouterr().err
    assert complaint in said
    assert said.count("\n") == 1
    assert results(out) == before


@pytest.mark.parametrize(
    "words",
    [
        *(["--seed", 5], ["--steps", 20], ["--context", 8], ["--heads", 2]),
        *(["--layers", 1], ["--peak-lr", 0.001], ["--held-out", 0.3], ["--clip", 2]),
    ],
)
def test_another_training_does_not_go_on_from_the_state(finished, out, capsys, words):
    before = results(out)
    words = ["--held-out", 0, *words]
    assert train(finished[0], out, *words) == 2
    said = capsys.readouterr().err
    assert f"training.json: {words[-2]}: the run was begun with " in said
    assert f"now {words[-1]}" in said
    assert results(out) == before


def test_another_text_is_another_training(finished, out, tmp_path, capsys):
    (tmp_path / "text.txt").write_text(STORY * 9)
    assert train(tmp_path / "text.txt", out, "--held-out", 0) == 2
    assert "FILE: the run was begun with 'texts with SHA-256" in capsys.readouterr().err


def test_threads_and_saves_may_change(finished, out):
    words = ("--held-out", 0, "--threads", 1, "--save-every", 3)
    assert train(finished[0], out, *words) == 0
    assert results(out) == results(finished[1])


def test_two_trainings_do_not_share_a_directory(finished, out, capsys):
    with claim(out):
        assert train(finished[0], out, "--held-out", 0) == 2
    assert "another process is writing there" in capsys.readouterr().err


def test_a_directory_of_something_else_is_left_alone(text, tmp_path, capsys):
    (tmp_path / "out").mkdir()
    os.mkfifo(tmp_path / "out" / "log.jsonl")
    assert train(text, tmp_path / "out") == 2
    said = capsys.readouterr().err
    assert "expected a new or an empty directory, found 'log.jsonl'" in said


def test_a_link_in_place_of_the_log_is_not_followed(finished, out, tmp_path):
    (tmp_path / "mine").write_bytes((out / "log.jsonl").read_bytes())
    before = (tmp_path / "mine").read_bytes()
    (out / "log.jsonl").unlink()
    (out / "log.jsonl").symlink_to(tmp_path / "mine")
    assert train(finished[0], out, "--held-out", 0) == 0
    assert not (out / "log.jsonl").is_symlink()
    assert (tmp_path / "mine").read_bytes() == before


def test_that_it_works_is_said_at_once(text, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(command, "LARGE", 100)
    assert train(text, tmp_path / "out") == 0
    first, second = capsys.readouterr().err.splitlines()
    assert first == "learning a vocabulary from 2,502 characters"
    assert second.startswith("training: step 0 of 12, 1,")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--held-out", "1"], "--held-out: expected a number of 0, or from"),
        (["--vocab-size", "258"], "size must be 259 or more, got 258"),
        (["--kv-heads", "3"], "num_key_value_heads: expected a divisor"),
        (["--context", "1000"], "text must be more than 1000 tokens, got "),
        (["--batch-size", "0"], "--batch-size: expected a whole number from 1 to"),
        (["--peak-lr", "x"], "--peak-lr: expected a number above 0"),
        (["--clip", "nan"], "--clip: expected a number above 0"),
        (["--validation", "no/such/file"], "No such file or directory"),
    ],
)
def test_what_cannot_be_trained_is_refused_in_one_line(
    text, tmp_path, capsys, words, complaint
):
    text.write_text(STORY)
    assert train(text, tmp_path / "out", *words) == 2
    said = capsys.readouterr().err
    assert complaint in said
    assert said.count("\n") == 1
