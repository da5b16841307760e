"""The training loop: draw, compute, move, again.

Notes
-----
Each step cuts its batch into shares of a few texts. Threads take shares as they come,
with BLAS held to one thread, and the gradients are added up in the order of the shares.
So all cores work all the time, on arrays small enough to stay near a core; and the same
seed gives the same weights to the last bit, whatever the number of threads.

What a training is, between steps, is the parameters, the two running means and the
number of the step. These are saved as they are, so a training taken up again goes on as
if nothing had happened.
"""

import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from minibitnet.absmean import quantize_weights
from minibitnet.config import Config
from minibitnet.files.jsonfile import CheckpointError
from minibitnet.training.adamw import AdamW, clip
from minibitnet.training.network import (
    Parameters,
    Rounding,
    forward,
    round_matrices,
)
from minibitnet.training.schedule import Schedule
from minibitnet.training.texts import draw_batch
from minibitnet.weights import is_ternary, shapes

SHARE = 1024  # tokens, more or less; larger arrays are slower to come by


@dataclass(frozen=True)
class Settings:
    """How to train."""

    schedule: Schedule
    texts: int  # B, in a batch
    context: int  # T
    clip: float = 1.0  # the greatest length of all gradients together
    seed: int = 0
    threads: int = 1
    rounding: Rounding = Rounding()


def draw_parameters(config: Config, seed: int) -> Parameters:
    """The parameters to begin with."""
    rng = np.random.default_rng(seed)
    return {
        name: np.ones(shape, np.float32)
        if len(shape) == 1
        else np.float32(0.02) * rng.standard_normal(shape, np.float32)
        for name, shape in shapes(config).items()
    }


def train(
    optimizer: AdamW, config: Config, row: NDArray[np.integer], settings: Settings
) -> Iterator[dict[str, float]]:
    """Train to the end of the schedule, from where the optimizer stands.

    row (n,) -> 
    """
    schedule = settings.schedule
    with (
        threadpool_limits(1, user_api="blas"),
        ThreadPoolExecutor(settings.threads) as pool,
    ):
        while (step := optimizer.steps) < schedule.steps:
            start = time.perf_counter()
            ids = draw_batch(row, settings.texts, settings.context, settings.seed, step)
            loss, gradients = compute(optimizer.parameters, config, ids, settings, pool)
            length = clip(gradients, settings.clip)
            rate, decay = schedule.rate(step), schedule.decay(step)
            optimizer.step(gradients, rate, decay)
            yield {
                "step": step,
                "loss": loss,
                "rate": rate,
                "decay": decay,
                "gradient": length,
                "seconds": time.perf_counter() - start,
            }


def compute(
    parameters: Parameters,
    config: Config,
    ids: NDArray[np.integer],
    settings: Settings,
    pool: ThreadPoolExecutor,
) -> tuple[float, Parameters]:
    """Mean loss and gradients of a batch, share by share.

    ids (B, T + 1) -> 
    """
    rounded = round_matrices(parameters, config, settings.rounding)
    tokens = ids[:, 1:].size
    shares = np.array_split(ids, min(len(ids), -(-tokens // SHARE)))

    def work(share: NDArray[np.integer]) -> tuple[float, Parameters]:
        eight_bits = settings.rounding.activations
        loss, pullback = forward(parameters, rounded, config, share, eight_bits)
        return loss, pullback(1 / tokens)

    results = pool.map(work, shares)
    loss, gradients = next(results)
    for more_loss, more in results:
        loss += more_loss
        for name, gradient in gradients.items():
            gradient += more[name]
    return loss / tokens, gradients


def share_of_codes(parameters: Parameters) -> dict[str, list[float]]:
    """How the ternary weights are shared out."""
    return {
        name: [float((quantize_weights(w)[0] == code).mean()) for code in (-1, 0, 1)]
        for name, w in parameters.items()
        if is_ternary(name)
    }


def save_state(optimizer: AdamW, file: Path) -> None:
    """Keep a training as it stands; the file appears when it is whole."""
    arrays: dict[str, Any] = {"steps": np.array(optimizer.steps)}
    for kind, held in vars(optimizer).items():
        if kind != "steps":
            arrays |= {f"{kind}/{name}": array for name, array in held.items()}
    part = file.with_suffix(".part.npz")
    np.savez(part, **arrays)
    os.replace(part, file)


def load_state(optimizer: AdamW, file: Path) -> None:
    """Take a training up where it was kept.

    Raises
    ------
    CheckpointError
        If it is of another model.
    """
    with np.load(file) as kept:
        optimizer.steps = int(kept["steps"])
        for kind, held in vars(optimizer).items():
            for name in held if kind != "steps" else ():
                array = kept.get(f"{kind}/{name}")
                if array is None or array.shape != held[name].shape:
                    found = "none" if array is None else array.shape
                    raise CheckpointError(
                        f"{file}: {name}: expected {held[name].shape}, found {found}"
                    )
                held[name][...] = array
