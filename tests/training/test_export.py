# The closed loop: what was trained is written in two forms, read by the ordinary
# loader, and is the same model.

import json

import numpy as np
import pytest
from foxes import CONFIG, CONTENT, CONTEXT
from numpy.testing import assert_allclose, assert_array_equal

import minibitnet as mb
from minibitnet import bf16
from minibitnet.evaluation.score import score
from minibitnet.files.tensorfile import read_tensors
from minibitnet.packing import unpack
from minibitnet.training.export import export_masters, export_packed
from minibitnet.training.loop import share_of_codes
from minibitnet.training.losses import cross_entropy
from minibitnet.training.network import forward, round_matrices


@pytest.fixture(scope="module")
def exported(trained, tmp_path_factory):
    directory = tmp_path_factory.mktemp("exported")
    export_packed(trained[0], CONTENT, directory / "packed")
    export_masters(trained[0], CONTENT, directory / "masters")
    return directory


@pytest.fixture(scope="module")
def rounded(trained):
    # The parameters as the files have them, in bfloat16.
    return {name: bf16.widen(bf16.narrow(w)) for name, w in trained[0].items()}


def test_both_forms_are_the_same_model(exported, row):
    packed, masters = (mb.load(exported / form)[0] for form in ("packed", "masters"))
    assert packed.config == masters.config == CONFIG
    ids = row[:5].tolist()
    with mb.trace() as of_packed:
        mb.forward(packed, ids)
    with mb.trace() as of_masters:
        mb.forward(masters, ids)
    assert of_packed.keys() == of_masters.keys()
    for name, array in of_packed.items():
        assert_array_equal(of_masters[name], array, strict=True)
    written = [list(mb.generate(m, ids, max_new_tokens=20)) for m in (packed, masters)]
    assert written[0] == written[1]


def test_the_forward_pass_of_training_is_that_of_inference(exported, rounded, row):
    # The same integers; floats are added up in another order.
    ids = row[: CONTEXT + 1]
    matrices = round_matrices(rounded, CONFIG)
    logits, _ = forward(rounded, matrices, CONFIG, ids[None, :-1])
    model, _ = mb.load(exported / "packed")
    expected = mb.forward(model, ids[:-1].tolist())
    assert_allclose(logits, expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())
    loss, _ = cross_entropy(logits, ids[1:])
    assert loss == pytest.approx(-score(model, ids.tolist()).sum(), rel=1e-5)


def test_the_codes_in_the_file_have_the_shares_that_the_log_says(exported, rounded):
    tensors = read_tensors(exported / "packed" / "model.safetensors")
    shares = share_of_codes(rounded)
    assert len(shares) == 7 * CONFIG.num_hidden_layers
    for name, expected in shares.items():
        codes = unpack(tensors[name].array, rows=len(rounded[name]))
        assert_allclose([(codes == code).mean() for code in (-1, 0, 1)], expected)


def test_the_masters_in_the_file_are_the_parameters_in_bfloat16(exported, trained):
    tensors = read_tensors(exported / "masters" / "model.safetensors")
    assert tensors.keys() == trained[0].keys()
    for name, w in trained[0].items():
        assert_array_equal(tensors[name].array, bf16.narrow(w), strict=True)


def test_the_config_says_when_weights_are_quantized_and_stays_otherwise(exported):
    for form, mode in (("packed", "offline"), ("masters", "online")):
        page = json.loads((exported / form / "config.json").read_text())
        quantization = CONTENT["quantization_config"] | {"quantization_mode": mode}
        assert page == CONTENT | {"quantization_config": quantization}


@pytest.mark.parametrize("write", [export_packed, export_masters])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_is_not_written(trained, tmp_path, write, value):
    parameters = dict(trained[0])
    parameters["model.norm.weight"] = np.full(CONFIG.hidden_size, value, np.float32)
    with pytest.raises(ValueError, match="model.norm.weight must be finite"):
        write(parameters, CONTENT, tmp_path / "out")
    assert not (tmp_path / "out").exists()
