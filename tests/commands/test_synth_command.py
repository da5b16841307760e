import errno
import os
import resource
import subprocess
import sys

import pytest
from killed import run_killed

import minibitnet as mb
from minibitnet.cli import main
from minibitnet.commands import synth


def names(directory):
    return sorted(entry.name for entry in directory.iterdir())


@pytest.mark.parametrize("moves", range(4))
def test_a_killed_synth_leaves_no_model(tmp_path, moves):
    assert run_killed(moves, "synth", tmp_path / "a")
    with pytest.raises(mb.CheckpointError, match="config.json"):
        mb.load(tmp_path / "a")


def test_what_was_killed_while_it_wrote_is_begun_again(tmp_path):
    assert run_killed(0, "synth", tmp_path / "a")
    assert names(tmp_path / "a") == [".unfinished"]
    assert not run_killed(99, "synth", tmp_path / "a")
    assert mb.load(tmp_path / "a")[1] is not None
    assert ".unfinished" not in names(tmp_path / "a")


def test_two_at_once_do_not_mix(tmp_path):
    sizes = ["--layers", "16", "--hidden-size", "512"]
    words = [sys.executable, "-m", "minibitnet", "synth", tmp_path / "a", *sizes]
    both = [
        subprocess.Popen([*words, "--seed", seed], stderr=subprocess.PIPE, text=True)
        for seed in "12"
    ]
    said = [process.communicate(timeout=60)[1] for process in both]
    status = [process.returncode for process in both]
    assert sorted(status) == [0, 2]
    won, lost = status.index(0), status.index(2)
    assert said[lost].count("\n") == 1
    main(["synth", str(tmp_path / "b"), *sizes, "--seed", "12"[won]])
    found, alone = (tmp_path / d / "model.safetensors" for d in "ab")
    assert found.read_bytes() == alone.read_bytes()


def test_where_the_disk_is_full_nothing_is_left(tmp_path):
    def at_most():
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    words = [sys.executable, "-m", "minibitnet", "synth", tmp_path / "a"]
    # What counts coverage has files of its own, which may grow.
    rest = {key: value for key, value in os.environ.items() if "COV" not in key}
    done = subprocess.run(
        words, stderr=-1, text=True, preexec_fn=at_most, timeout=60, env=rest
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "File too large" in done.stderr
    assert names(tmp_path) == []


def test_where_the_disk_is_full_for_the_tokenizer_nothing_is_left(
    tmp_path, monkeypatch, capsys
):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(synth, "save_vocabulary", full)
    assert main(["synth", str(tmp_path / "a")]) == 2
    assert "No space left on device" in capsys.readouterr().err
    assert names(tmp_path) == []


def test_a_tokenizer_is_copied_with_its_chat_template(tmp_path, capsys):
    main(["synth", str(tmp_path / "a")])
    (tmp_path / "a" / "chat_template.jinja").write_text("{{ messages }}")
    words = ["--tokenizer", str(tmp_path / "a")]
    assert main(["synth", str(tmp_path / "b"), *words]) == 0
    for file in (*synth.TOKENIZER_FILES, synth.TEMPLATE):
        copy, source = (tmp_path / d / file for d in "ba")
        assert copy.read_bytes() == source.read_bytes()
