"""The model that comes with the package.

A language model of five million weights, built like BitNet b1.58 2B4T down to its
quirks: ternary matrices in packed bytes, sub-norms, squared ReLU, four query heads to a
key/value head, the head tied to the embedding. It learned from children's stories, in
NumPy, with `minibitnet.training`; ``MODEL_CARD.md`` beside it says from which, how, and
what it cannot do.
"""

from pathlib import Path

BUILT_IN = Path(__file__).parent
