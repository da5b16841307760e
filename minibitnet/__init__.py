"""BitNet b1.58 2B4T in NumPy: small enough to read in an afternoon.

Read it in this order. Each module is one idea, stands on those before it, and says at
its top what it does, by which formula, after which source, with an example to do on
paper.

The numbers
    `config`        the model's numbers, each with its letter
    `absmean`       weights become -1, 0, +1 and one scale per matrix
    `absmax`        activations become int8 and one scale per token
    `packing`       four ternary codes in a byte
    `bf16`          bfloat16, the upper half of a float32

The layer
    `matmul`        the ternary product: add, subtract, skip
    `bitlinear`     quantize, multiply, scale back

The block
    `rmsnorm`       every token brought to the same size
    `rope`          a token's place as a rotation
    `attention`     grouped queries, and the cache of keys and values
    `feedforward`   the gate of squared ReLU

The model
    `model`         embed, blocks, norm, logits
    `sampling`      logits to one token
    `decode`        read the prompt, then write a token at a time
    `tokenizer`     text to ids and back; the chat template

From a file
    `shelf`         a checkpoint's arrays, each looked at as it is taken
    `assemble`      which array goes where
    `checkpoint`    a directory, or a hub id, becomes a model
    `models`        the small model that comes with the package
    `synth`         a random checkpoint in the real layout

Learning
    `training`      from text to ternary weights, in NumPy

Along the way
    `stages`        every array of a forward pass by name
    `costs`         bytes, operations and joules, computed from a config
    `kernels`       the same product, faster
    `files`         JSON, safetensors, the hub
    `course`        the exercises of the notebooks
    `commands`      what ``minibitnet`` does on the command line
"""

from minibitnet.attention import KVCache
from minibitnet.checkpoint import load
from minibitnet.decode import generate
from minibitnet.files.jsonfile import CheckpointError
from minibitnet.model import Model, forward
from minibitnet.stages import trace
from minibitnet.tokenizer import Tokenizer

__all__ = [
    "CheckpointError",
    "KVCache",
    "Model",
    "Tokenizer",
    "forward",
    "generate",
    "load",
    "trace",
]
__version__ = "0.1.0"
