"""A shelf: the arrays of a checkpoint, taken away one by one, each looked at first.

Whoever builds a model takes what it needs by name. The shelf sees that it is there,
that its dtype and shape are right and its numbers sound, and in the end that nothing is
left.

Notes
-----
A ternary matrix comes in one of two forms, told apart by dtype. Packed (uint8, a
quarter of the rows) it has a ``weight_scale`` beside it. That is the mean of ``|W|``
and multiplies where ``linear_class`` is ``autobitlinear``, as in 2B4T; it is 1 / mean
and divides where it is ``bitlinear``. Here a scale always multiplies, so the latter is
inverted. A master (floats, of full shape) is quantized now, whatever the config says of
``quantization_mode``.

The packed bytes are read once, to see that no code in them is 3, the unused one. So a
damaged matrix is found here and not in the text.

References
----------
Hugging Face transformers, integrations/bitnet.py, ``BitLinear`` and ``AutoBitLinear``.
"""

from collections.abc import Mapping
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from minibitnet import bf16
from minibitnet.absmean import quantize_weights
from minibitnet.config import Config
from minibitnet.files.jsonfile import CheckpointError
from minibitnet.files.tensorfile import Tensor
from minibitnet.packing import CODES_PER_BYTE, find_unused_code, pack

FLOATS = ("BF16", "F16", "F32")
# Older Llama checkpoints carry RoPE's frequencies along; they follow from rope_theta.
IGNORED = "rotary_emb.inv_freq"
# The names in 2B4T and in 1bitLLM; a model has them in all layers or in none.
ATTN_SUB_NORM = ("self_attn.attn_sub_norm", "self_attn.inner_attn_ln")
FFN_SUB_NORM = ("mlp.ffn_sub_norm", "mlp.ffn_layernorm")


class Shelf:
    """The arrays of a checkpoint, taken away one by one.

    Parameters
    ----------
    config : Config
        The numbers.
    tensors : dict
        The arrays by name.
    """

    def __init__(self, config: Config, tensors: Mapping[str, Tensor]) -> None:
        self.config = config
        self.tensors = {n: t for n, t in tensors.items() if not n.endswith(IGNORED)}
        self.sub_norms = config.sub_norms or any(
            name.removesuffix(".weight").endswith(ATTN_SUB_NORM + FFN_SUB_NORM)
            for name in tensors
        )
        self.files = sorted({str(tensor.file) for tensor in tensors.values()})

    def take(
        self, name: str, dtypes: tuple[str, ...], *shapes: tuple[int, ...]
    ) -> Tensor:
        """The array of a name, if it is of one of these dtypes and shapes."""
        tensor = self.tensors.pop(name, None)
        if tensor is None:
            raise CheckpointError(
                f"{', '.join(self.files)}: expected {name}, found no such tensor"
            )
        if tensor.dtype not in dtypes:
            refuse(tensor, f"dtype {' or '.join(dtypes)}", tensor.dtype)
        if tensor.array.shape not in shapes:
            refuse(tensor, f"shape {' or '.join(map(str, shapes))}", tensor.array.shape)
        return tensor

    def gain(self, name: str, N: int) -> NDArray[np.float32]:
        """The gains of a norm, as float32."""
        return read_finite(self.take(f"{name}.weight", FLOATS, (N,)))

    def sub_norm(
        self, layer: str, names: tuple[str, str], N: int
    ) -> NDArray[np.float32] | None:
        """The gains of a sub-norm by either of its names; None in models without."""
        for name in names:
            if f"{layer}.{name}.weight" in self.tensors:
                return self.gain(f"{layer}.{name}", N)
        return self.gain(f"{layer}.{names[0]}", N) if self.sub_norms else None

    def ternary(
        self, name: str, M: int, N: int
    ) -> tuple[NDArray[np.uint8], np.float32]:
        """The packed codes of a matrix and its scale, which multiplies."""
        R = -(-M // CODES_PER_BYTE)  # rounded up
        tensor = self.take(f"{name}.weight", ("U8", *FLOATS), (R, N), (M, N))
        if tensor.dtype == "U8":
            return check_packed(tensor, (R, N)), self.scale(f"{name}.weight_scale")
        if tensor.array.shape != (M, N):
            refuse(tensor, f"shape {(M, N)}", tensor.array.shape)
        if not self.config.is_bitnet:
            refuse(
                tensor,
                "a BitNet model (config.json names none)",
                "full-precision weights",
            )
        w_codes, w_scale = quantize_master(read_finite(tensor))
        return pack(w_codes), w_scale

    def scale(self, name: str) -> np.float32:
        """A stored ``weight_scale``, turned so that it multiplies."""
        tensor = self.take(name, FLOATS, (1,), ())
        stored = read_finite(tensor).item()
        if stored < np.finfo(np.float32).tiny:  # 1 / stored must be finite too
            refuse(tensor, "a number above 0", stored)
        return np.float32(1 / stored if self.config.scale_divides else stored)

    def check_empty(self) -> None:
        """Refuse arrays that have no place in the model."""
        for tensor in self.tensors.values():
            refuse(tensor, "no such tensor in this model", "one")


def refuse(tensor: Tensor, expected: str, found: object) -> NoReturn:
    """Say what is wrong with an array.

    Parameters
    ----------
    tensor : Tensor
        The array.
    expected : str
        What it should be or have.
    found : object
        What it is or has.

    Raises
    ------
    CheckpointError
        Always.
    """
    raise CheckpointError(
        f"{tensor.file}: {tensor.name}: expected {expected}, found {found}"
    )


def quantize_master(
    master: NDArray[np.float32],
) -> tuple[NDArray[np.int8], np.float32]:
    """The codes and the scale of a master, or of what is ternary already.

    Parameters
    ----------
    master : ndarray of shape (M, N), float32
        Full-precision weights; or codes times scale, as some releases have them, which
        absmean would shrink.

    Returns
    -------
    w_codes : ndarray of shape (M, N), int8
        Each is -1, 0 or +1.
    w_scale : float32
        Multiplies the codes.
    """
    largest = np.abs(master).max()
    if largest > 0 and np.isin(master, (-largest, 0, largest)).all():
        return np.sign(master).astype(np.int8), largest
    return quantize_weights(master)


def read_finite(tensor: Tensor) -> NDArray[np.float32]:
    """The numbers of an array, as float32.

    Parameters
    ----------
    tensor : Tensor
        Of floats.

    Returns
    -------
    values : ndarray of the same shape, float32
        A copy.

    Raises
    ------
    CheckpointError
        If one is NaN or infinite.
    """
    values = bf16.widen(tensor.array)
    if not np.isfinite(values).all():
        refuse(tensor, "finite numbers", values[~np.isfinite(values)].flat[0])
    return values


def check_packed(tensor: Tensor, shape: tuple[int, int]) -> NDArray[np.uint8]:
    """Packed bytes, if no code in them is the unused one.

    Parameters
    ----------
    tensor : Tensor
        uint8.
    shape : tuple of two ints
        (R, N), which it must have.

    Returns
    -------
    packed : ndarray of shape (R, N), uint8
        The array of the tensor.

    Raises
    ------
    CheckpointError
        If the shape is another or a code is 3.
    """
    if tensor.array.shape != shape:
        refuse(tensor, f"shape {shape}", tensor.array.shape)
    place = find_unused_code(tensor.array)
    if place is not None:
        refuse(tensor, "2-bit codes 0, 1 and 2", f"a 3 in byte {place}")
    packed: NDArray[np.uint8] = tensor.array
    return packed
