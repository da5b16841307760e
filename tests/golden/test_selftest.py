import hashlib
import os

import numpy as np
import pytest
from here import needs_compiler

from minibitnet.config import Config
from minibitnet.files import published
from minibitnet.golden import selftest
from minibitnet.golden.selftest import (
    Check,
    check_answers,
    check_built_in,
    check_compiled,
    check_hashes,
    check_model,
    check_products,
    compare,
)
from minibitnet.kernels import KERNELS, c
from minibitnet.model import Model


def test_all_is_well_here():
    for check in (check_products(), check_model()):
        assert check.passed
        assert check.line().startswith(f"ok    {check.name}: auto, masks")


def test_the_built_in_model_computes_what_its_fingerprint_says(monkeypatch):
    line = "ok    the built-in model says the same: all 6 parts of its fingerprint"
    assert check_built_in().line() == line
    found = [Check("a", True, "b"), Check("fingerprint, c", False, "d")]
    monkeypatch.setattr(selftest, "check_fingerprint", lambda *_: found)
    line = "FAIL  the built-in model says the same: fingerprint, c: d"
    assert check_built_in().line() == line


def test_a_kernel_that_is_wrong_is_found(monkeypatch):
    blas = KERNELS["blas"]

    def wrong(packed, rows):
        multiply = blas(packed, rows)
        return lambda x_codes: [acc + 1 for acc in multiply(x_codes)]

    monkeypatch.setitem(KERNELS, "blas", wrong)
    for check in (check_products(), check_model()):
        assert not check.passed
        assert check.detail.endswith(": blas")


def test_a_sum_too_large_for_16_bits_is_found(monkeypatch):
    masks = KERNELS["masks"]

    def narrow(packed, rows):
        multiply = masks(packed, rows)
        return lambda x: [acc.astype(np.int16).astype(np.int32) for acc in multiply(x)]

    monkeypatch.setitem(KERNELS, "lookup", narrow)
    assert not check_products().passed


def test_without_a_compiler_nothing_is_wrong(monkeypatch):
    monkeypatch.setenv("CC", "no-such-compiler")
    check = check_compiled()
    assert check.passed
    assert "not to be had here: expected a C compiler" in check.detail


@needs_compiler
def test_a_compiler_that_computes_something_else_is_found(monkeypatch):
    assert check_compiled().line().startswith("ok    kernel c: the numbers of masks")
    monkeypatch.setattr(c, "is_right", lambda code: False)
    assert check_compiled().line() == "FAIL  kernel c: other numbers than masks"


def test_each_file_is_compared_by_its_hash(tmp_path, monkeypatch):
    (tmp_path / "config.json").write_bytes(b"one")
    (tmp_path / "tokenizer.json").write_bytes(b"two")
    same = hashlib.sha256(b"one").hexdigest()
    monkeypatch.setattr(published, "FILES_SHA256", {"config.json": same})
    [config, weights] = check_hashes(tmp_path)
    assert config == ("config.json", True, "SHA-256 as published")
    assert not weights.passed
    assert weights.detail.endswith("found no such file")
    (tmp_path / "config.json").unlink()
    os.mkfifo(tmp_path / "config.json")  # reading it would never end
    pipe = check_hashes(tmp_path)[0]
    assert not pipe.passed
    assert pipe.detail.endswith("config.json: expected a file, found something else")
    other = {"tokenizer.json": same}
    monkeypatch.setattr(published, "FILES_SHA256", other)
    found = hashlib.sha256(b"two").hexdigest()
    assert check_hashes(tmp_path)[0].detail == f"expected {same}, found {found}"


@pytest.fixture
def answers(monkeypatch):
    """A model of which only the config is made, and the logits that it gives."""
    zeros = np.zeros((1, 2), np.uint16)
    config = Config(2, 4, 0, 1, 1, 2, 128256, 8, 1e4, 1e-5, "relu2", ())
    model = Model(config, zeros, (), np.ones(2, np.float32), zeros)
    logits = np.repeat(np.float32(published.MEAN_LOGITS)[:, None], 128256, axis=1)
    logits[0, :30] = published.FIRST_LOGITS
    monkeypatch.setattr(selftest, "forward", lambda model, ids: logits)
    return model, logits


def test_logits_are_compared_with_the_published_ones(answers):
    model, logits = answers
    assert [check.passed for check in check_answers(model, None)] == [True, True]
    logits[3] += 1
    assert [check.passed for check in check_answers(model, None)] == [False, True]
    logits[0, 5] -= 2
    assert [check.passed for check in check_answers(model, None)] == [False, False]


@pytest.mark.parametrize("text", [published.GREEDY_ANSWER, "Pizza."])
def test_the_greedy_answer_is_compared_with_the_published_one(
    answers, monkeypatch, text
):
    class Tokenizer:
        chat = staticmethod(lambda messages: [1])
        decode = staticmethod(lambda ids: f" {text}")

    monkeypatch.setattr(selftest, "generate", lambda *args, **kwargs: iter([1]))
    check = check_answers(answers[0], Tokenizer)[-1]
    assert check.passed is (text == published.GREEDY_ANSWER)


def test_a_model_of_another_vocabulary_has_no_published_answers(model):
    [check] = check_answers(model, None)
    assert check.line().startswith("FAIL  published logits")


def test_the_limit_is_on_the_largest_distance():
    found = np.float32([1, 2, 3])
    assert compare("a", found, (1.5, 2, 2.5), limit=0.5).passed
    assert not compare("a", found, (1.5, 2, 3.75), limit=0.5).passed


def test_a_gguf_file_is_compared_with_the_published_one(tmp_path):
    file = tmp_path / "m.gguf"
    file.write_bytes(b"another")
    [check] = check_hashes(file)
    assert (check.name, check.passed) == ("m.gguf", False)
    assert check.detail.startswith("expected 4221b252fdd5fd25")
