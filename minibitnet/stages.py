"""Stages: every array of a forward pass by name.

The forward pass gives each array it makes its name, in passing: ``stage("q", ...)``
returns the array unchanged. Usually nobody listens and that is all. Inside
``with trace() as stages:`` the array is also kept under its name, so one run of the
model becomes a dictionary in which to look things up, compare and draw.

Notes
-----
A stage has one name wherever it appears: here, in test vectors, notebooks and the cheat
sheet. In a block the name is prefixed by ``layers.L.``. Stages that end in ``.codes``
and ``.acc`` are integers and exact; the others are float32. Tracing copies nothing:
what is kept is the very array that was computed with, so do not write into it.

Examples
--------
>>> import numpy as np
>>> with trace() as stages:
...     with within("layers.7."):
...         double = stage("q", 2 * np.ones(2))
>>> stages
{'layers.7.q': array([2., 2.])}
>>> stage("q", np.zeros(2))  # nobody listens now
array([0., 0.])
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple, TypeVar

from numpy.typing import NDArray

Tap = Callable[[str, NDArray[Any]], object]
Array = TypeVar("Array", bound=NDArray[Any])


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

_tap: ContextVar[Tap | None] = ContextVar("tap", default=None)


def stage(name: str, array: Array) -> Array:
    """Give an array its stage name; whoever listens is told.

    Parameters
    ----------
    name : str
        Without the prefix of its block.
    array : ndarray of any shape
        The array.

    Returns
    -------
    array : ndarray of the same shape
        The very same array.
    """
    tap = _tap.get()
    if tap is not None:
        tap(name, array)
    return array


def listened() -> bool:
    """Whether anybody listens: what serves only to be seen need not be made.

    Returns
    -------
    answer : bool
        True inside a trace.
    """
    return _tap.get() is not None


@contextmanager
def listen(tap: Tap | None) -> Iterator[None]:
    """Call ``tap(name, array)`` at every stage inside the ``with``.

    Parameters
    ----------
    tap : callable or None
        Takes a name and an array; what it returns is ignored. None: nobody listens.
    """
    token = _tap.set(tap)
    try:
        yield
    finally:
        _tap.reset(token)


@contextmanager
def within(prefix: str) -> Iterator[None]:
    """Put a prefix before the names of the stages inside the ``with``.

    Parameters
    ----------
    prefix : str
        For instance ``"layers.7."``.
    """
    tap = _tap.get()
    prefixed = None if tap is None else (lambda name, array: tap(prefix + name, array))
    with listen(prefixed):
        yield


@contextmanager
def trace() -> Iterator[dict[str, NDArray[Any]]]:
    """Keep every stage of the forward passes inside the ``with``.

    A later forward pass overwrites the stages of an earlier one. Of traces one inside
    the other, the inner one listens.

    Yields
    ------
    stages : dict
        From name to array, in the order of computation.
    """
    stages: dict[str, NDArray[Any]] = {}
    with listen(stages.__setitem__):
        yield stages
