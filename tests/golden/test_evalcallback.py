import numpy as np
import pytest
from callbacks import as_dumped, print_graph, print_node
from numpy.testing import assert_allclose, assert_array_equal

from minibitnet import one_page
from minibitnet.golden.evalcallback import is_callback, read_callback
from minibitnet.golden.names import EMBED, IN_A_BLOCK
from minibitnet.golden.port import run_port

# As a version of 2024 and one of 2026 write it
OLD = """\
ggml_debug:                 inp_embd = (f32)   GET_ROWS(token_embd.weight{8, 512, 1, 1}\
, inp_tokens{1, 1, 1, 1}}) = {8, 1, 1, 1}
                                     [
                                      [
                                       [     -0.0181,       0.0272,       1.0272, ..., \
     -0.5000,       0.0000,      12.2500],
                                      ],
                                     ]
                                     sum = 12.786300
ggml_debug:                   norm-0 = (f32)       NORM(CUDA0#inp_embd#0{8, 1, 1, 1}, \
}) = {8, 1, 1, 1}
"""
NEW = """\
0.02.233.039 I system_info: n_threads = 4
common_debug_cb_eval:                     embd = (f32)   GET_ROWS(token_embd.weight\
{2, 512, 1, 1}, leaf_2{2, 1, 1, 1}}) = {2, 2, 1, 1}
    [
        [
            [      0.5000,         -nan],
            [         inf,      -1.0000],
        ],
    ]
    sum = nan
"""


def test_both_versions_are_read():
    seen = read_callback(OLD, "log")["embed"]
    row = [-0.0181, 0.0272, 1.0272, 0, 0, -0.5, 0, 12.25]
    assert_array_equal(seen.values.ravel(), row)
    assert_array_equal(seen.known.ravel(), [True] * 3 + [False] * 2 + [True] * 3)
    seen = read_callback(NEW, "log")["embed"]
    assert_array_equal(seen.values[0, 0], [[0.5, np.nan], [np.inf, -1]])


def test_every_node_of_a_graph_is_read_at_its_place(quirky):
    right = run_port(one_page, quirky, [95, *range(20, 29)])
    text = print_graph(as_dumped(right))
    assert is_callback(text)
    found = read_callback(text, "log")
    named = [stage for stage in IN_A_BLOCK if stage.gguf and stage.shape[1] != "H"]
    assert len(found) == 2 * len(named) + 3
    for name, seen in found.items():
        array = as_dumped(right)[name]
        seen = seen.in_rows(name, array[0].size)
        rows = array.reshape(len(array), -1)
        assert_allclose(seen.values[seen.known], rows[seen.known], atol=0.5001e-4)
        assert seen.distance(right[name].reshape(10, -1)) == 0


def test_of_nodes_of_one_name_the_last_is_meant():
    before, after, rotated = (np.full((2, 3), i + 0.5) for i in range(3))
    text = "".join(
        print_node("Qcur-1", operation, array)
        for operation, array in (
            ("MUL_MAT", before), ("MUL", after), ("ROPE", rotated),
        )
    )  # fmt: skip
    found = read_callback(text, "log")
    assert_array_equal(found["layers.1.q"].values[0, 0], after)
    assert_array_equal(found["layers.1.q.rope"].values[0, 0], rotated)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (OLD.replace(" 0.0272,", ""), r"log: embed: expected 6 numbers .* found 5"),
        (OLD[: OLD.index("[ ")], "expected 6 numbers .* found 0"),
        (OLD + OLD, "expected one evaluation, found another embed"),
        (OLD.replace("inp_embd", "h"), "expected nodes as attn_norm-0"),
        (OLD.replace("= {8, 1,", "= {99999999999, 1,"), r"\[99999999999, 1, 1, 1\]"),
    ],
)
def test_what_is_cut_or_doubled_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        read_callback(text, "log")


def test_other_texts_are_none_of_it():
    assert not is_callback("0.5 0.25\n1 2")
    assert EMBED.gguf == "inp_embd"
