"""What llama.cpp's ``llama-eval-callback`` prints of a graph, as numbers of stages.

It writes a line for every node of the graph and below it the numbers, of each axis the
first three and the last three, with four decimals::

    ggml_debug: attn_norm-0 = (f32) MUL(norm-0{2560, 5, 1, 1}, ...}) = {2560, 5, 1, 1}
        [
         [
          [     -0.0181,       0.0272,       0.0272, ...,       0.1101, ...],
          ...

Notes
-----
The shape has the innermost axis first: ``{N, T, 1, 1}``, or ``{d, H, T, 1}`` of what is
rotated. A node is named as `minibitnet.golden.names` has it, a hyphen and the layer.
Queries and keys have one name before and after they are rotated; the operation ROPE
tells. Of nodes of one name the last is meant: a product before its scale comes first.
In the last layer llama.cpp goes on with the last token alone, and newer versions call
`embed` ``embd`` and print another word than ``ggml_debug`` first.

Nodes that are no stage are passed over: there are hundreds. So are the sums below the
numbers: some versions sum what is printed, others all. A graph that was evaluated
twice, on a prompt and on a token after it, is refused.

References
----------
llama.cpp, examples/eval-callback and common/debug.cpp; node names of Microsoft's fork
of 2024.

Examples
--------
>>> text = '''ggml_debug: result_norm = (f32) MUL(norm{2, 1, 1, 1}, }) = {2, 1, 1, 1}
...     [
...      [
...       [     -0.0181,       0.0272],
...      ],
...     ]
...     sum = 0.009100'''
>>> read_callback(text, "log.txt")["final_norm"].values.ravel()
array([-0.0181,  0.0272])
"""

import math
import re

import numpy as np

from minibitnet.golden.names import EMBED, FINAL_NORM, IN_A_BLOCK, LOGITS
from minibitnet.golden.seen import Seen

HEADER = re.compile(
    r"^\w+: +(?P<node>\S.*?) = \(\w+\) +(?P<operation>\w+)\(.*\) = "
    r"\{(?P<shape>\d+, \d+, \d+, \d+)\}",
    re.M,
)
ROTATED = ", rotated"
OF_LAYER = {
    (stage.gguf.removesuffix(ROTATED), stage.gguf.endswith(ROTATED)): stage.name
    for stage in IN_A_BLOCK
    if stage.gguf and stage.name != "attn_weights"  # whose first axis is heads
}
AROUND = {stage.gguf: stage.name for stage in (EMBED, FINAL_NORM, LOGITS)}
AROUND["embd"] = EMBED.name
NAMED_AGAIN = ("q", "k", "v")  # after a bias or a scale
VALUE = re.compile(r"-?\d+\.\d+|-?nan|-?inf")
ENDS = 3  # numbers of an axis that are printed from its start, and from its end
ERROR = 0.5e-4  # four decimals
LARGEST = 2**28  # numbers of a stage


def is_callback(text: str) -> bool:
    """Whether a text is what the callback prints."""
    return HEADER.search(text) is not None


def read_callback(text: str, where: str) -> dict[str, Seen]:
    """The numbers of every stage that is among the nodes.

    Raises ValueError if there is none, or one is cut short.
    """
    headers = [*HEADER.finditer(text)]
    ends = [header.start() for header in headers[1:]] + [len(text)]
    found: dict[str, Seen] = {}
    for header, end in zip(headers, ends, strict=True):
        stage = stage_of(header["node"], header["operation"] == "ROPE")
        if stage is None:
            continue
        if stage in found and stage.split(".")[-1] not in NAMED_AGAIN:
            raise ValueError(f"{where}: expected one evaluation, found another {stage}")
        shape = [int(size) for size in header["shape"].split(", ")]
        found[stage] = read_block(text[header.end() : end], shape, f"{where}: {stage}")
    if not found:
        raise ValueError(f"{where}: expected nodes as attn_norm-0, found none of them")
    return found


def stage_of(node: str, rotated: bool) -> str | None:
    """The stage that a node is; None if it is none."""
    layer = re.fullmatch(r"(\w+)-(\d+)", node)
    if layer is None:
        return AROUND.get(node)
    stage = OF_LAYER.get((layer[1], rotated))
    return stage and f"layers.{layer[2]}.{stage}"


def read_block(block: str, shape: list[int], where: str) -> Seen:
    """The numbers below a line, each at its place.

    Raises ValueError if they are not as many as the shape says.
    """
    rows = [line for line in block.splitlines() if re.match(r"\s*\[\s*[-\din]", line)]
    values = [float(value) for row in rows for value in VALUE.findall(row)]
    axes = [printed(size) for size in reversed(shape)]
    expected = math.prod(map(len, axes))
    if len(values) != expected or math.prod(shape) > LARGEST:
        raise ValueError(
            f"{where}: expected {expected} numbers of shape {shape}, "
            f"found {len(values)}"
        )
    array = np.zeros(shape[::-1])
    known = np.zeros(shape[::-1], bool)
    array[np.ix_(*axes)] = np.reshape(values, [*map(len, axes)])
    known[np.ix_(*axes)] = True
    return Seen(array, ERROR, known)


def printed(size: int) -> list[int]:
    """The places on an axis whose numbers are printed."""
    return sorted({*range(min(ENDS, size)), *range(max(size - ENDS, 0), size)})
