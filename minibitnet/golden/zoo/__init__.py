"""Forty-three ways to get it wrong: bugs that real ports had, each a line of the page.

Each was met by somebody in public. None is a caricature: with most of them a model
still writes something, with some of them it writes fluently. They say what a test of a
port must notice, and `minibitnet.golden.diagnose` finds them in one.

Notes
-----
Left out is what changes no number (codes cut off at -127: none is lower; activations
quantized twice: the codes are the same), and what is no change of one to three lines of
the page: a sub-norm before q, k and v in place of the one before o, masters run as they
are, a prompt and a single token computed by two different programs.

In this order
    `bug`          what a bug is, and a port that has it
    `weights`      unpacking, scales, masters
    `layouts`      the codes of GGUF files in another order
    `activations`  codes, sums, norms
    `attention`    positions, heads, the mask
    `layers`       feed-forward, embedding, head, text

Examples
--------
>>> len(ZOO)
43
>>> find_bug("theta-10000").first_stage
'q.rope'
"""

from minibitnet.golden.zoo.activations import ACTIVATIONS
from minibitnet.golden.zoo.attention import ATTENTION
from minibitnet.golden.zoo.bug import Bug, mutate
from minibitnet.golden.zoo.layers import LAYERS
from minibitnet.golden.zoo.weights import WEIGHTS

__all__ = ["KINDS", "ZOO", "Bug", "find_bug", "mutate"]

KINDS = {
    "Weights": WEIGHTS,
    "Activations": ACTIVATIONS,
    "Attention": ATTENTION,
    "The rest": LAYERS,
}
ZOO: tuple[Bug, ...] = sum(KINDS.values(), ())


def find_bug(name: str) -> Bug:
    """The bug of that name."""
    [bug] = [bug for bug in ZOO if bug.name == name]
    return bug
