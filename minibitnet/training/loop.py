"""The training loop: draw, compute, move, again.

Each step draws a batch of texts, computes the gradients of its mean loss, and moves the
parameters once.

Notes
-----
A batch is cut into micro-batches of a few texts. Threads take them as they come, with
BLAS held to one thread, and the gradients are added up in the order of the
micro-batches. So all cores work all the time, on arrays small enough to stay near a
core; and the same seed gives the same weights to the last bit, whatever the number of
threads.

What a training is between steps, and how it is kept, is in `minibitnet.training.state`.
"""

import math
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from minibitnet.absmean import quantize_weights
from minibitnet.config import Config
from minibitnet.kernels.threads import one_blas_thread
from minibitnet.training.adamw import AdamW, clip
from minibitnet.training.backward import Ids
from minibitnet.training.losses import cross_entropy
from minibitnet.training.network import Parameters, forward, round_matrices
from minibitnet.training.schedule import Schedule, require
from minibitnet.training.straight_through import (
    Linear,
    RoundWeights,
    bit_linear,
    round_weights,
)
from minibitnet.training.texts import draw_batch
from minibitnet.weights import is_ternary, shapes

MICRO_BATCH = 1024  # tokens, more or less; larger arrays are slower to allocate


@dataclass(frozen=True)
class Settings:
    """How to train; a ValueError names what cannot be."""

    schedule: Schedule
    batch_size: int  # B, texts
    context: int  # T, tokens of a text that are predicted
    clip: float = 1.0  # the greatest length of all gradients together
    seed: int = 0
    threads: int = 1
    weights: RoundWeights = round_weights  # or keep_weights
    linear: Linear = bit_linear  # or float_linear

    def __post_init__(self) -> None:
        require(self.batch_size >= 1, "batch_size", "1 or more", self.batch_size)
        require(self.context >= 1, "context", "1 or more", self.context)
        require(0 < self.clip < math.inf, "clip", "above 0", self.clip)
        require(self.seed >= 0, "seed", "0 or more", self.seed)
        require(self.threads >= 1, "threads", "1 or more", self.threads)


class Step(NamedTuple):
    """What there is to say of a step."""

    step: int  # its number, from 0
    loss: float  # in nats, the mean over tokens
    rate: float  # the learning rate
    decay: float  # the weight decay
    gradient: float  # the length of all gradients together, before clipping
    seconds: float


def draw_parameters(config: Config, seed: int) -> Parameters:
    """The parameters to begin with: gains of one, the rest normal, deviation 0.02."""
    rng = np.random.default_rng(seed)
    return {
        name: np.ones(shape, np.float32)
        if len(shape) == 1
        else np.float32(0.02) * rng.standard_normal(shape, np.float32)
        for name, shape in shapes(config).items()
    }


def train(
    optimizer: AdamW, config: Config, row: Ids, settings: Settings
) -> Iterator[Step]:
    """Train on a row of ids, from where the optimizer stands to the schedule's end.

    A step is made when the next one is asked for. A ValueError if its loss or gradient
    is not finite.
    """
    schedule, seed = settings.schedule, settings.seed
    with one_blas_thread(), ThreadPoolExecutor(settings.threads) as pool:
        while (step := optimizer.steps) < schedule.steps:
            start = time.perf_counter()
            ids = draw_batch(row, settings.batch_size, settings.context, seed, step)
            rate, decay = schedule.rate(step), schedule.decay(step)
            with np.errstate(all="ignore"):  # what overflows shows in the loss
                loss, gradients = compute(
                    optimizer.parameters, config, ids, settings, pool
                )
                clipped, length = clip(gradients, settings.clip)
                if not math.isfinite(loss + length):
                    raise ValueError(
                        f"step {step}: the loss is {loss}, the gradient {length} long; "
                        "a lower learning rate may help"
                    )
                optimizer.step(clipped, rate, decay)
            yield Step(step, loss, rate, decay, length, time.perf_counter() - start)


def compute(
    parameters: Parameters,
    config: Config,
    ids: Ids,
    settings: Settings,
    pool: ThreadPoolExecutor,
) -> tuple[float, Parameters]:
    """The mean loss of a batch, ids (B, T + 1), and the gradients of all parameters."""
    rounded = round_matrices(parameters, config, settings.weights)
    tokens = ids[:, 1:].size
    parts = min(len(ids), -(-tokens // MICRO_BATCH))  # rounded up; no text is cut

    def work(texts: Ids) -> tuple[float, Parameters]:
        inputs, targets = texts[:, :-1], texts[:, 1:].ravel()
        with np.errstate(all="ignore"):  # in a thread of its own
            logits, back = forward(parameters, rounded, config, inputs, settings.linear)
            loss, back_loss = cross_entropy(logits, targets)
            return float(loss), back(back_loss(1 / tokens))

    results = pool.map(work, np.array_split(ids, parts))
    loss, gradients = next(results)
    for more_loss, more in results:  # in order, whoever was done first
        loss += more_loss
        for name, gradient in gradients.items():
            gradient += more[name]
    return loss / tokens, gradients


def share_of_codes(parameters: Parameters) -> dict[str, list[float]]:
    """The shares of -1, 0 and +1 in each ternary matrix, by its name."""
    return {
        name: [float((quantize_weights(w)[0] == code).mean()) for code in (-1, 0, 1)]
        for name, w in parameters.items()
        if is_ternary(name)
    }
