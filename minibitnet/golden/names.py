"""The names of all stages, their shapes, and what other programs call them.

A stage has one name wherever it appears: in the source, at the place where the array is
made; in a trace; in notebooks and on the cheat sheet. This table adds the shape in the
letters of `minibitnet.config`, the formula, and the name under which transformers and
llama.cpp show the same array.

Examples
--------
>>> [row] = [row for row in IN_A_BLOCK if row.name == "attn_sub_norm"]
>>> row.shape, row.dtype, row.hf
('(T, H*d)', 'float32', 'self_attn.attn_sub_norm')
"""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

CONTRACT = 2  # of the numerical contract, README: what an array must be to the last bit


class Stage(NamedTuple):
    """One row of the vocabulary: a stage and what others call it."""

    name: str
    shape: str  # in the letters of config.py
    hf: str  # the transformers module that returns it, "" where none does
    gguf: str  # the graph node in Microsoft's llama.cpp (2024), "" where there is none
    formula: str

    @property
    def dtype(self) -> str:
        """The dtype, which the end of the name tells."""
        return {"codes": "int8", "acc": "int32"}.get(
            self.name.split(".")[-1], "float32"
        )


EMBED = Stage("embed", "(T, D)", "model.embed_tokens", "inp_embd", "E[ids]")
IN_A_BLOCK = tuple(
    Stage(*row)
    for row in (
        ("attn_norm", "(T, D)", "input_layernorm", "attn_norm", "RMSNorm(h)"),
        ("attn_in.codes", "(T, D)", "", "", "Quant(attn_norm)"),
        ("attn_in.scale", "(T, 1)", "", "", "max |attn_norm| / 127"),
        ("q.acc", "(T, H*d)", "", "", "sum of x_codes * w_codes"),
        ("q", "(T, H*d)", "self_attn.q_proj", "Qcur", "W_q x"),
        ("k.acc", "(T, G*d)", "", "", "sum of x_codes * w_codes"),
        ("k", "(T, G*d)", "self_attn.k_proj", "Kcur", "W_k x"),
        ("v.acc", "(T, G*d)", "", "", "sum of x_codes * w_codes"),
        ("v", "(T, G*d)", "self_attn.v_proj", "Vcur", "W_v x"),
        ("q.rope", "(T, H, d)", "", "Qcur, rotated", "R_t q"),
        ("k.rope", "(T, G, d)", "", "Kcur, rotated", "R_t k"),
        ("attn_weights", "(H, T, S)", "", "kq_soft_max_ext", "softmax(q k / sqrt(d))"),
        ("attn", "(T, H*d)", "", "kqv_out", "attn_weights v"),
        (
            "attn_sub_norm",
            "(T, H*d)",
            "self_attn.attn_sub_norm",
            "attn_sub_norm",
            "RMSNorm(attn)",
        ),
        ("attn_out.codes", "(T, H*d)", "", "", "Quant(attn_sub_norm)"),
        ("attn_out.scale", "(T, 1)", "", "", "max |attn_sub_norm| / 127"),
        ("o.acc", "(T, D)", "", "", "sum of x_codes * w_codes"),
        ("o", "(T, D)", "self_attn.o_proj", "attn_o_out", "W_o x"),
        ("attn_residual", "(T, D)", "", "ffn_inp", "h + o"),
        ("ffn_norm", "(T, D)", "post_attention_layernorm", "ffn_norm", "RMSNorm(h)"),
        ("ffn_in.codes", "(T, D)", "", "", "Quant(ffn_norm)"),
        ("ffn_in.scale", "(T, 1)", "", "", "max |ffn_norm| / 127"),
        ("gate.acc", "(T, F)", "", "", "sum of x_codes * w_codes"),
        ("gate", "(T, F)", "mlp.gate_proj", "ffn_gate", "W_gate x"),
        ("up.acc", "(T, F)", "", "", "sum of x_codes * w_codes"),
        ("up", "(T, F)", "mlp.up_proj", "ffn_up", "W_up x"),
        ("relu2_gate", "(T, F)", "", "ffn_out", "max(0, gate)^2 * up"),
        (
            "ffn_sub_norm",
            "(T, F)",
            "mlp.ffn_sub_norm",
            "ffn_sub_norm",
            "RMSNorm(relu2_gate)",
        ),
        ("ffn_out.codes", "(T, F)", "", "", "Quant(ffn_sub_norm)"),
        ("ffn_out.scale", "(T, 1)", "", "", "max |ffn_sub_norm| / 127"),
        ("down.acc", "(T, D)", "", "", "sum of x_codes * w_codes"),
        ("down", "(T, D)", "mlp.down_proj", "ffn_down", "W_down x"),
        ("ffn_residual", "(T, D)", "", "l_out", "h + down"),
    )
)
FINAL_NORM = Stage("final_norm", "(T, D)", "model.norm", "result_norm", "RMSNorm(h)")
LOGITS = Stage("logits", "(T, V)", "lm_head", "result_output", "E final_norm")
OF_HEADS = {  # stages whose rows are heads laid end to end, and one that has them apart
    **dict.fromkeys(("q.acc", "q", "attn"), "q.rope"),
    **dict.fromkeys(("k.acc", "k", "v.acc", "v"), "k.rope"),
}
IN_A_LAYER = re.compile(r"(layers\.[0-9]+\.)?(.*)", re.S)


def split_name(name: str) -> tuple[str, str]:
    """The layer that a stage is in, and its name in the table.

    Examples
    --------
    >>> split_name("layers.3.q.acc"), split_name("logits")
    (('layers.3.', 'q.acc'), ('', 'logits'))
    """
    layer, stage = IN_A_LAYER.fullmatch(name).groups("")  # type: ignore[union-attr]
    return layer, stage


def count_heads(name: str, shapes: Mapping[str, Sequence[int]]) -> int:
    """How many heads a row of a stage is made of; 0 if of none, or if it is not known.

    Examples
    --------
    >>> count_heads("layers.3.v", {"layers.3.k.rope": (12, 5, 128)})
    5
    """
    layer, stage = split_name(name)
    apart = shapes.get(layer + OF_HEADS.get(stage, ""), ())
    return apart[1] if stage in OF_HEADS and len(apart) == 3 else 0
