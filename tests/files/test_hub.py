import json
from pathlib import Path

import huggingface_hub
import pytest
from huggingface_hub import errors

from minibitnet import CheckpointError
from minibitnet.checkpoint import find_directory
from minibitnet.files.hub import FILES, download, is_hub_id
from minibitnet.files.published import HUB_ID, REVISION


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A hub that notes what it is asked; its answers are put in by the test."""
    calls = []

    def snapshot_download(hub_id, **options):
        calls.append((hub_id, options))
        answer = hub_answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return str(answer)

    hub_answers = []
    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    return calls, hub_answers


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (HUB_ID, True),
        ("1bitLLM/bitnet_b1_58-large", True),
        ("bitnet", False),
        ("a/b/c", False),
        ("../b", False),
        ("a/", False),
        ("a/.b", False),
        ("a--b/c", False),
        ("a/b..c", False),
        ("a/b-", False),
        ("a/b.git", False),
        ("a/ü", False),
        ("a/" + "b" * 97, False),
        ("a/" + "b" * 96, True),
    ],
)
def test_an_id_is_an_owner_and_a_name(text, answer):
    assert is_hub_id(text) is answer


def test_what_has_been_downloaded_needs_no_network(hub, tmp_path):
    calls, answers = hub
    for file in ("config.json", "model.safetensors"):
        (tmp_path / file).touch()
    answers[:] = [tmp_path]
    assert find_directory(HUB_ID) == tmp_path
    [(hub_id, options)] = calls
    assert hub_id == HUB_ID
    assert options["local_files_only"] is True
    assert options["revision"] == REVISION
    assert options["allow_patterns"] == FILES


def test_what_is_missing_is_downloaded(hub, tmp_path):
    calls, answers = hub
    answers[:] = [errors.LocalEntryNotFoundError("not here"), tmp_path]
    assert download("owner/name") == tmp_path
    assert "local_files_only" not in calls[1][1]
    assert calls[1][1]["revision"] is None


@pytest.mark.parametrize("sharded", [False, True])
def test_a_download_that_was_broken_off_goes_on(hub, tmp_path, sharded):
    calls, answers = hub
    (tmp_path / "config.json").touch()
    index = {"weight_map": {"a": "1.safetensors", "b": "2.safetensors"}}
    if sharded:
        (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
        (tmp_path / "1.safetensors").touch()
    answers[:] = [tmp_path, tmp_path]
    assert download("owner/name") == tmp_path
    assert len(calls) == 2


@pytest.mark.parametrize("places", [7, "a", ["a"], {}, {"a": ["b"]}, {"a": "../b"}])
def test_an_index_that_is_none_is_refused_in_the_cache_too(hub, tmp_path, places):
    _, answers = hub
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": places}))
    answers[:] = [tmp_path]
    with pytest.raises(CheckpointError, match="index.json: .*: expected"):
        download("owner/name")


def test_what_the_library_takes_for_no_id_is_none_here():
    for text in ("a--b/c", "a/b.git", "a/b..c", "a/b-", "a/" + "b" * 97):
        with pytest.raises(CheckpointError, match="found nothing"):
            find_directory(text)


def test_a_download_to_a_directory_asks_the_network_at_once(hub, tmp_path):
    calls, answers = hub
    answers[:] = [tmp_path]
    assert download(HUB_ID, Path("here")) == tmp_path
    [(_, options)] = calls
    assert options["local_dir"] == Path("here")


def test_without_a_network_a_line_says_what_to_do(hub):
    _, answers = hub
    answers[:] = [
        errors.LocalEntryNotFoundError("a"),
        errors.LocalEntryNotFoundError("b"),
    ]
    with pytest.raises(
        CheckpointError, match=f"minibitnet download {HUB_ID} DIR"
    ) as caught:
        download(HUB_ID)
    assert "no connection" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_model_that_does_not_exist_is_told_from_a_network_that_does_not(hub):
    _, answers = hub
    missing = errors.RepositoryNotFoundError.__new__(errors.RepositoryNotFoundError)
    answers[:] = [errors.LocalEntryNotFoundError("a"), missing]
    with pytest.raises(CheckpointError, match="no such model on the hub"):
        download("owner/name")
