"""BitNet b1.58 2B4T in NumPy: small enough to read in an afternoon.

Begin with `one_page`: the whole model on one page, nothing checked and nothing fast.
Then read the package in this order. Each module is one idea, stands on those before it,
and says at its top what it does, by which formula, after which source, with an example
to do on paper.

The numbers
    `config`        the model's numbers, each with its letter
    `weights`       which arrays a model has, by name and shape
    `absmean`       weights become -1, 0, +1 and one scale per matrix
    `absmax`        activations become int8 and one scale per token
    `packing`       four ternary codes in a byte
    `bf16`          bfloat16, the upper half of a float32

The layer
    `matmul`        the ternary product: add, subtract, skip
    `bitlinear`     quantize, multiply, rescale

The block
    `rmsnorm`       every token brought to the same size
    `rope`          a token's position as a rotation
    `cache`         keys and values of the tokens so far
    `attention`     every token gathers from those before it
    `feedforward`   the gate of squared ReLU

The model
    `model`         embed, blocks, norm, logits
    `sampling`      logits to one token
    `decode`        read the prompt, then write a token at a time

Text
    `bpe`           byte-pair encoding: text to ids and back
    `tokenizer`     begin-of-text, and the chat template
    `text`          text while it comes, messages that end no turn, other people's files
    `conversation`  a chat that fits the context and reads nothing twice

From a file
    `checkpoint`    a directory, a GGUF file or a hub id becomes a model
    `stories`       the small model that comes with the package
    `files`         JSON, safetensors, GGUF, the hub
    `formats`       the same codes as others store them

Learning
    `training`      from text to ternary weights, in NumPy

Along the way
    `stages`        every array of a forward pass by name
    `golden`        for ports: what a right implementation computes
    `evaluation`    what a model is worth, and what it costs
    `kernels`       the same product, faster
    `course`        the exercises of the notebooks
    `commands`      what ``minibitnet`` does on the command line

`arrays` names the array types; `startup` is for Ctrl-C.
"""

from minibitnet import startup as startup  # before all that takes a while
from minibitnet.cache import KVCache
from minibitnet.checkpoint import load
from minibitnet.decode import generate
from minibitnet.evaluation.score import score
from minibitnet.files.jsonfile import CheckpointError, CheckpointWarning
from minibitnet.model import Model, forward
from minibitnet.stages import trace
from minibitnet.tokenizer import Tokenizer

__all__ = [
    "CheckpointError",
    "CheckpointWarning",
    "KVCache",
    "Model",
    "Tokenizer",
    "forward",
    "generate",
    "load",
    "score",
    "trace",
]
__version__ = "0.1.0"
