from minibitnet import KVCache, forward, trace
from minibitnet.checkpoint.configfile import parse_config
from minibitnet.files.published import CONFIG
from minibitnet.golden.names import EMBED, FINAL_NORM, IN_A_BLOCK, LOGITS
from minibitnet.weights import matrices, norms


def rows(model):
    """The table's rows for a model, by the full name."""
    has_sub_norms = model.layers[0].mlp.ffn_sub_norm is not None
    block = [row for row in IN_A_BLOCK if has_sub_norms or "sub_norm" not in row.name]
    layers = range(model.config.num_hidden_layers)
    return (
        {"embed": EMBED}
        | {f"layers.{L}.{row.name}": row for L in layers for row in block}
        | {"final_norm": FINAL_NORM, "logits": LOGITS}
    )


def test_a_trace_has_the_names_of_the_table_in_their_order(model):
    with trace() as stages:
        forward(model, [1, 2, 3])
    assert [*stages] == [*rows(model)]


def test_every_stage_has_the_shape_and_dtype_of_the_table(model):
    letters = dict(zip("TSDHGdFV", (5, 8, 40, 4, 2, 6, 50, 97), strict=True))
    cache = KVCache(model.config, capacity=20)
    forward(model, [1, 2, 3], cache)  # so that S is not T
    with trace() as stages:
        forward(model, [4, 5, 6, 7, 8], cache)
    for name, row in rows(model).items():
        assert stages[name].shape == eval(row.shape, letters), name
        assert stages[name].dtype == row.dtype, name


def test_the_names_in_transformers_are_modules_of_its_model():
    # Each is a norm or matrix that the checkpoint has under the same name.
    config = parse_config(CONFIG)
    inside = matrices(config).keys() | norms(config).keys()
    named = {stage.hf for stage in IN_A_BLOCK if stage.hf}
    assert named == inside
    gguf = [stage.gguf for stage in (EMBED, *IN_A_BLOCK, FINAL_NORM) if stage.gguf]
    assert len(set(gguf)) == len(gguf)
