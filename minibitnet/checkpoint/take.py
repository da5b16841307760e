"""The arrays of a checkpoint, taken one by one, each checked first.

Whoever builds a model takes what it needs by name. Taking sees that the array is there,
that its dtype and shape are right and its numbers sound, and in the end that nothing is
left.

Notes
-----
A ternary matrix comes in one of two forms, told apart by dtype. Packed (uint8, a
quarter of the rows) it has a ``weight_scale`` beside it. That is the mean of ``|W|``
and multiplies where ``linear_class`` is ``autobitlinear``, as in 2B4T; it is 1 / mean
and divides where it is ``bitlinear``. Here a scale always multiplies, so the latter is
inverted. A master (floats, of full shape) is quantized now, and if config.json does not
ask for it (``quantization_mode: online``, or 1bitLLM's ``weight_bits``) a
`CheckpointWarning` says so: transformers would compute with the floats.

The packed bytes are read once, to see that no code in them is 3, the unused one. So a
damaged matrix is found here and not in the text.

References
----------
Hugging Face transformers, integrations/bitnet.py, ``BitLinear`` and ``AutoBitLinear``.
"""

from typing import NamedTuple, NoReturn

import numpy as np

from minibitnet import bf16
from minibitnet.absmean import quantize_weights
from minibitnet.arrays import F16, F32, I8, U8, U16
from minibitnet.checkpoint.open import Checkpoint
from minibitnet.files.jsonfile import CheckpointError
from minibitnet.files.tensorfile import Tensor
from minibitnet.kernels.memory import let_go
from minibitnet.packing import CODES_PER_BYTE, find_unused_code, pack
from minibitnet.weights import ONEBITLLM, SUB_NORMS

FLOATS = ("BF16", "F16", "F32")
INFINITE = np.uint16(0x7C00)  # the exponent of a float16 that is infinite or NaN
ROWS = 4096  # looked at at a time
# Older Llama checkpoints carry RoPE's frequencies along; they follow from rope_theta.
IGNORED = "rotary_emb.inv_freq"
WHICH_WAY = (
    'in config.json "quantization_config": {"quant_method": "bitnet", "linear_class": '
    'X}, with X "autobitlinear" if the scale multiplies, as in 2B4T, or "bitlinear" if '
    "it divides"
)
MASTERS = (
    "full-precision matrices are made ternary, which transformers would not do; "
    'config.json says that they are masters by "quantization_config": {"quant_method": '
    '"bitnet", "linear_class": "autobitlinear", "quantization_mode": "online"}'
)


class Matrix(NamedTuple):
    """A ternary matrix in a file."""

    tensor: Tensor
    shape: tuple[int, int]
    scale: np.float32 | None  # which multiplies; None: a master, which has none yet

    def read(self) -> tuple[U8, np.float32]:
        """The packed codes and the scale; a master is quantized now."""
        if self.scale is not None:
            return check_packed(self.tensor), self.scale
        w_codes, w_scale = quantize_master(read_finite(self.tensor))
        return pack(w_codes), w_scale


class Arrays:
    """The arrays of a checkpoint that nobody has taken yet."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        config, self.stored, tensors = checkpoint
        self.config = config
        self.left = {n: t for n, t in tensors.items() if not n.endswith(IGNORED)}
        known = (*SUB_NORMS, *ONEBITLLM.values())
        self.has_sub_norms = self.stored.sub_norms or any(
            name.removesuffix(".weight").endswith(known) for name in tensors
        )
        self.notes: dict[str, None] = {}  # what was assumed, each once, in order
        self.files = sorted({str(tensor.file) for tensor in tensors.values()})

    def take(
        self, name: str, dtypes: tuple[str, ...], *shapes: tuple[int, ...]
    ) -> Tensor:
        """The array of a name, if it is of one of these dtypes and shapes."""
        tensor = self.left.pop(name, None)
        if tensor is None:
            raise CheckpointError(
                f"{', '.join(self.files)}: expected {name}, found no such tensor"
            )
        if tensor.dtype not in dtypes:
            refuse(tensor, f"dtype {' or '.join(dtypes)}", tensor.dtype)
        if tensor.shape not in shapes:
            refuse(tensor, f"shape {' or '.join(map(str, shapes))}", tensor.shape)
        return tensor

    def gain(self, name: str, N: int) -> F32:
        """The gains of a norm, as float32."""
        return read_finite(self.take(f"{name}.weight", FLOATS, (N,)))

    def sub_norm(self, layer: str, name: str, N: int) -> F32 | None:
        """The gains of a sub-norm by either of its names; None in models without."""
        other = f"{layer}.{ONEBITLLM[name]}"
        if f"{other}.weight" in self.left:
            return self.gain(other, N)
        return self.gain(f"{layer}.{name}", N) if self.has_sub_norms else None

    def rows(self, name: str) -> U16 | F16 | F32:
        """The rows of the embedding or the head, as they are stored."""
        shape = self.config.vocab_size, self.config.hidden_size
        tensor = self.take(name, FLOATS, shape)
        array: U16 | F16 | F32 = tensor.array
        if array.dtype == np.float16:
            check_halves(tensor, np.asarray(array, np.float16))
        return array

    def ternary(self, name: str, M: int, N: int) -> tuple[U8, np.float32]:
        """The packed codes of a matrix and its scale, which multiplies."""
        return self.matrix(name, M, N).read()

    def matrix(self, name: str, M: int, N: int) -> Matrix:
        """A matrix whose codes nobody has looked at yet."""
        R = -(-M // CODES_PER_BYTE)  # rounded up
        tensor = self.take(f"{name}.weight", ("U8", *FLOATS), (R, N), (M, N))
        if tensor.dtype == "U8":
            if tensor.shape != (R, N):
                refuse(tensor, f"shape {(R, N)}", tensor.shape)
            return Matrix(tensor, (M, N), self.scale(f"{name}.weight_scale"))
        if tensor.shape != (M, N):
            refuse(tensor, f"shape {(M, N)}", tensor.shape)
        if not self.stored.masters:
            refuse(
                tensor,
                "a BitNet model (config.json names none)",
                "full-precision weights",
            )
        if not self.stored.masters_said:
            self.notes[f"{tensor.file}: {MASTERS}"] = None
        return Matrix(tensor, (M, N), None)

    def scale(self, name: str) -> np.float32:
        """A stored ``weight_scale``, turned so that it multiplies."""
        tensor = self.take(name, FLOATS, (1,), ())
        if self.stored.scale_divides is None:
            refuse(tensor, WHICH_WAY, "neither")
        stored = read_finite(tensor).item()
        if stored < np.finfo(np.float32).tiny:  # 1 / stored must be finite too
            refuse(tensor, "a number above 0", stored)
        return np.float32(1 / stored if self.stored.scale_divides else stored)

    def check_empty(self) -> None:
        """Refuse arrays that have no place in the model."""
        for tensor in self.left.values():
            refuse(tensor, "no such tensor in this model", "one")


def refuse(tensor: Tensor, expected: str, found: object) -> NoReturn:
    """Say what is wrong with an array."""
    raise CheckpointError(
        f"{tensor.file}: {tensor.name}: expected {expected}, found {found}"
    )


def quantize_master(master: F32) -> tuple[I8, np.float32]:
    """The codes and the scale of a master, or of what is ternary already.

    master (M, N) -> w_codes (M, N), w_scale ()

    Some releases have codes times scale in place of a master; absmean would shrink it.
    """
    sizes = np.abs(master)
    largest = sizes.max()
    if largest > 0 and ((sizes == largest) | (sizes == 0)).all():
        return np.sign(master).astype(np.int8), largest
    return quantize_weights(master)


def read_finite(tensor: Tensor) -> F32:
    """The numbers of an array as float32, if none is NaN or infinite."""
    values = bf16.widen(tensor.array)
    if not np.isfinite(values).all():
        refuse(tensor, "finite numbers", values[~np.isfinite(values)].flat[0])
    return values


def check_halves(tensor: Tensor, halves: F16) -> None:
    """Refuse float16 that is infinite or NaN: the head widens finite ones alone.

    halves (V, D)
    """
    for start in range(0, len(halves), ROWS):
        bits = halves[start : start + ROWS].view(np.uint16)
        if ((bits & INFINITE) == INFINITE).any():
            refuse(tensor, "finite numbers", f"others from row {start} on")
        let_go(bits)


def check_packed(tensor: Tensor) -> U8:
    """Packed bytes (R, N), if no code in them is the unused one."""
    packed: U8 = tensor.array
    place = find_unused_code(packed)
    if place is not None:
        refuse(tensor, "2-bit codes 0, 1 and 2", f"a 3 in byte {place}")
    return packed
