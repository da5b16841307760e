import errno
import json
import os
from types import SimpleNamespace

import huggingface_hub
import pytest
from huggingface_hub import errors

from minibitnet import CheckpointError
from minibitnet.checkpoint import find_directory
from minibitnet.files import hub
from minibitnet.files.hub import download, is_hub_id, is_whole, new_download
from minibitnet.files.published import (
    FILES_SHA256,
    GGUF_FILE,
    GGUF_HUB_ID,
    HUB_ID,
    REVISION,
)

CONFIG, WEIGHTS = "config.json", "model.safetensors"
OTHERS = ["README.md", "original/model.safetensors", "pytorch_model.bin"]
WANTED = [CONFIG, WEIGHTS, "tokenizer.json", "chat_template.jinja"]


class Hub:
    """A hub with a model; it notes what is asked, and fails after some files."""

    def __init__(self, cache):
        self.cache = cache
        self.files = [*OTHERS, *WANTED]
        self.asked = []
        self.left = 99
        self.error = None  # of whoever asks the network

    def model_info(self, hub_id, revision=None):
        if self.error:
            raise self.error
        siblings = [SimpleNamespace(rfilename=name) for name in self.files]
        return SimpleNamespace(siblings=siblings)

    def snapshot_download(
        self,
        hub_id,
        revision,
        allow_patterns=(),
        local_dir=None,
        local_files_only=False,
        **_,
    ):
        self.asked.append((hub_id, revision, local_files_only))
        if local_files_only:
            if not self.cache.exists():
                raise errors.LocalEntryNotFoundError("not here")
            return str(self.cache)
        directory = local_dir or self.cache
        directory.mkdir(exist_ok=True)
        (directory / ".cache").mkdir(exist_ok=True)
        for name in self.files:
            if name in allow_patterns and not (directory / name).exists():
                if self.left == 0:
                    raise KeyboardInterrupt
                self.left -= 1
                (directory / name).write_text(hub_id)
        return str(directory)


@pytest.fixture
def served(monkeypatch, tmp_path):
    hub = Hub(tmp_path / "cache")
    monkeypatch.setattr(huggingface_hub, "snapshot_download", hub.snapshot_download)
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: hub)
    return hub


def names(directory):
    return sorted(entry.name for entry in directory.iterdir())


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
        ("a/b/c.gguf", True),
        ("a/b/c/d.gguf", False),
        ("a/b.gguf", True),
        ("../b/c.gguf", False),
    ],
)
def test_an_id_is_an_owner_and_a_name(text, answer):
    assert is_hub_id(text) is answer


def test_what_the_library_takes_for_no_id_is_none_here():
    for text in ("a--b/c", "a/b.git", "a/b..c", "a/b-", "a/" + "b" * 97):
        with pytest.raises(CheckpointError, match="found nothing"):
            find_directory(text)


# Into the cache of the library


def test_what_has_been_downloaded_needs_no_network(served):
    served.cache.mkdir()
    for file in (WEIGHTS, *FILES_SHA256):
        (served.cache / file).touch()
    served.error = OSError("no network")
    assert find_directory(HUB_ID) == served.cache
    assert served.asked == [(HUB_ID, REVISION, True)]


def test_what_is_missing_is_downloaded(served):
    assert download("owner/name") == served.cache
    assert names(served.cache) == [".cache", *sorted(WANTED)]
    assert served.asked[1:] == 2 * [("owner/name", None, False)]


@pytest.mark.parametrize("files", range(4))
def test_the_config_comes_last_and_a_download_is_resumed(served, files):
    served.left = files
    with pytest.raises(KeyboardInterrupt):
        download("owner/name")
    assert not (served.cache / CONFIG).exists()
    served.left = 99
    assert download("owner/name") == served.cache
    assert (served.cache / CONFIG).exists()


def test_what_is_whole_has_all_files_that_are_known(tmp_path):
    (tmp_path / CONFIG).touch()
    assert not is_whole(tmp_path, "owner/name")
    (tmp_path / WEIGHTS).touch()
    assert is_whole(tmp_path, "owner/name")
    assert not is_whole(tmp_path, HUB_ID)
    index = tmp_path / "model.safetensors.index.json"
    shards = {"a": "1.safetensors", "b": "2.safetensors"}
    index.write_text(json.dumps({"weight_map": shards}))
    (tmp_path / "1.safetensors").touch()
    assert not is_whole(tmp_path, "owner/name")
    (tmp_path / "2.safetensors").touch()
    assert is_whole(tmp_path, "owner/name")


@pytest.mark.parametrize(
    "places", [[1], None, {"a": [2]}, {"a": "../b.safetensors"}, {"a": "b/" * 200}]
)
def test_an_index_that_cannot_be_used_is_refused(tmp_path, places):
    (tmp_path / CONFIG).touch()
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": places}))
    with pytest.raises(CheckpointError, match=r"index\.json: .*expected"):
        is_whole(tmp_path, "owner/name")


@pytest.mark.parametrize("missing", [CONFIG, WEIGHTS])
def test_what_is_no_model_here_is_refused(served, missing):
    served.files.remove(missing)
    with pytest.raises(CheckpointError, match=r"expected config\.json and model"):
        download("owner/name")


def test_a_file_that_does_not_come_is_missed(served, monkeypatch):
    def forgetful(*args, **options):
        found = served.snapshot_download(*args, **options)
        (served.cache / "tokenizer.json").unlink(missing_ok=True)
        return found

    monkeypatch.setattr(huggingface_hub, "snapshot_download", forgetful)
    with pytest.raises(CheckpointError, match=r"expected tokenizer\.json, found no"):
        download("owner/name")


# Of GGUF files, one

ONE, TWO = "owner/name/one.gguf", "owner/name/two.gguf"


def test_the_only_gguf_file_of_a_repository_is_the_model(served, tmp_path):
    served.files = ["README.md", CONFIG, "a/other.gguf", "one.gguf"]
    assert download("owner/name") == served.cache / "one.gguf"
    assert names(served.cache) == [".cache", "one.gguf"]
    assert find_directory("owner/name") == served.cache / "one.gguf"
    with new_download("owner/name", tmp_path / "out") as part:
        assert find_directory(part) == part / "one.gguf"
    assert names(tmp_path / "out") == ["one.gguf"]


def test_of_several_gguf_files_one_is_named(served, tmp_path):
    served.files = ["one.gguf", "two.gguf"]
    with pytest.raises(CheckpointError, match=r"as in owner/name/one\.gguf, found one"):
        download("owner/name")
    assert find_directory(TWO) == served.cache / "two.gguf"
    served.error = OSError("no network")
    assert find_directory(TWO) == served.cache / "two.gguf"
    with pytest.raises(CheckpointError, match=f"download {ONE} DIR"):
        download(ONE)
    served.error = None
    with pytest.raises(
        CheckpointError, match=r"expected x\.gguf, found one\.gguf, two"
    ):
        download("owner/name/x.gguf")
    with new_download(ONE, tmp_path / "out"):
        pass
    assert names(tmp_path / "out") == ["one.gguf"]


def test_safetensors_come_first_and_a_gguf_file_beside_them_by_name(served):
    served.files += ["one.gguf", "two.gguf"]
    assert download("owner/name") == served.cache
    assert names(served.cache) == [".cache", *sorted(WANTED)]
    assert download(ONE) == served.cache / "one.gguf"
    assert download("owner/name") == served.cache
    served.files = WANTED
    with pytest.raises(CheckpointError, match=r"two\.gguf, found no \.gguf file"):
        download(TWO)


def test_the_published_gguf_file_needs_no_network_once_it_is_there(served):
    served.files = [GGUF_FILE]
    assert download(GGUF_HUB_ID) == served.cache / GGUF_FILE
    served.error = OSError("no network")
    assert download(GGUF_HUB_ID) == served.cache / GGUF_FILE
    assert {revision for _, revision, _ in served.asked} == {
        "a1f2f1c765812aa8af3f6eda4a313707064bba15"
    }


def test_a_repository_with_no_model_is_refused(served):
    served.files = ["README.md"]
    with pytest.raises(CheckpointError, match=r"expected config\.json and model"):
        download("owner/name")


# Into a directory


def test_a_directory_gets_its_files_when_all_are_there(served, tmp_path):
    out = tmp_path / "out"
    with new_download("owner/name", out) as part:
        assert names(out) == [".download", ".unfinished"]
        assert names(part) == [".cache", *sorted(WANTED)]
    assert names(out) == sorted(WANTED)


@pytest.mark.parametrize("files", range(4))
def test_a_download_that_was_interrupted_is_resumed(served, tmp_path, files):
    out = tmp_path / "out"
    served.left = files
    with pytest.raises(KeyboardInterrupt):
        new_download("owner/name", out).__enter__()
    assert names(out) == [".download"]
    served.left = len(WANTED) - files  # no file is fetched twice
    with new_download("owner/name", out):
        pass
    assert names(out) == sorted(WANTED)


def test_two_models_do_not_mix(served, tmp_path):
    out = tmp_path / "out"
    served.left = 3
    with pytest.raises(KeyboardInterrupt):
        new_download("owner/one", out).__enter__()
    served.left = 99
    with new_download("owner/two", out):
        pass
    assert {(out / name).read_text() for name in names(out)} == {"owner/two"}
    with pytest.raises(ValueError, match="expected a new or an empty directory"):
        new_download("owner/one", out).__enter__()


def test_what_is_found_wrong_is_not_put_in_place(served, tmp_path):
    out = tmp_path / "out"
    with new_download("owner/name", out) as part:
        (part / WEIGHTS).unlink()
    assert names(out) == [".download"]


def test_a_link_in_place_of_the_download_is_not_followed(served, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".download").symlink_to(tmp_path)
    with pytest.raises(ValueError, match="expected a directory, found a link"):
        new_download("owner/name", tmp_path / "out").__enter__()


# What may go wrong


def test_without_a_network_a_line_says_what_to_do(served, tmp_path):
    served.error = errors.LocalEntryNotFoundError("a")
    complaint = f"no connection.*minibitnet download {HUB_ID} DIR"
    with pytest.raises(CheckpointError, match=complaint) as caught:
        download(HUB_ID)
    assert "\n" not in str(caught.value)
    with pytest.raises(CheckpointError, match=complaint):
        new_download(HUB_ID, tmp_path / "out").__enter__()
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("hub_id", ["owner/name", "a--b/c"])
def test_a_model_that_does_not_exist_is_told_from_a_network_that_does_not(
    served, monkeypatch, hub_id
):
    missing = errors.RepositoryNotFoundError.__new__(errors.RepositoryNotFoundError)
    served.error = missing
    if "--" in hub_id:  # as the library refuses it
        served.error = errors.HFValidationError("a--b")
    with pytest.raises(CheckpointError, match="no such model on the hub"):
        download(hub_id)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES])
def test_what_is_wrong_with_the_disk_is_no_lack_of_a_network(served, code):
    served.error = OSError(code, os.strerror(code), "here" * (code == errno.EACCES))
    with pytest.raises(OSError, match=os.strerror(code)):
        download("owner/name")


def test_all_files_that_a_model_may_have_are_asked_for():
    assert "chat_template.jinja" in hub.FILES
