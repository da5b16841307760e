"""How fast: tokens a second, read and written, by one way of computing.

A way is a kernel, or a baseline. Reading (prefill) is timed for prompts of several
lengths, writing (decode) for several lengths of the text so far. A cache for a long
context is filled with random keys and values: what they are makes no difference to the
time.

Notes
-----
What would take longer than the user's patience is left out, by a guess from what was
measured before, and so is what is longer than the model's context. The first step after
loading is slow and not counted alone: of several decode steps the median is taken.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from minibitnet import bf16
from minibitnet.arrays import F32, I8, I32, I64, U8
from minibitnet.cache import KVCache
from minibitnet.checkpoint import load
from minibitnet.checkpoint.open import open_checkpoint
from minibitnet.config import Config
from minibitnet.evaluation.costs import step_size
from minibitnet.kernels.memory import peak_memory
from minibitnet.kernels.threads import split
from minibitnet.matmul import Multiply
from minibitnet.model import Model, forward
from minibitnet.packing import unpack
from minibitnet.stages import listen

BASELINES = ("float32", "transformers")
TOKENS = 5  # written to find the speed of a decode step
SHORT = 16  # tokens of a prompt that tells how long others will take
# From token ids and the length of the text so far to the logits of the last token
Run = Callable[[I64, int], object]


class Job(NamedTuple):
    """What to measure, and how far to go."""

    directory: Path
    way: str  # a kernel or a baseline
    threads: int
    prefill: tuple[int, ...]  # tokens of a prompt
    decode: tuple[int, ...]  # tokens of context
    patience: float  # seconds; what would take longer is left out


def measure(job: Job) -> dict[str, Any]:
    """Load a model, read and write: what it takes, in seconds, bytes and rates.

    `bytes` are what a decode step has to read at least; see `costs.step_size`.
    """
    start = time.perf_counter()
    run, config, model = prepare(job)
    report: dict[str, Any] = {"load": time.perf_counter() - start}
    room = count_room(config)
    count = min(room, max((SHORT, *job.prefill)))
    ids = np.random.default_rng(0).integers(0, config.vocab_size, count)
    rate = 1 / min(time_steps(run, ids, 0, job.patience))  # the first step is slow
    short = ids[:SHORT]
    if len(short) / rate < job.patience:
        rate = len(short) / clock(run, short, 0)
    report["prefill"] = {}
    for T in job.prefill:
        if T / rate < job.patience and T <= room:
            rate = report["prefill"][T] = T / clock(run, ids[:T], 0)
    report["memory"] = peak_memory()  # before the caches of long contexts
    report["decode"], steps = measure_decode(job, run, ids, room)
    report["bytes"] = {S: step_size(config, S) for S in report["decode"]}
    report["stages"] = {} if model is None else time_stages(model, ids[:steps])
    return report


def measure_decode(
    job: Job, run: Run, ids: I64, room: int
) -> tuple[dict[int, float], int]:
    """Tokens a second for each length of the text so far; the steps of the last.

    ids (T,)
    """
    rates: dict[int, float] = {}
    seconds: list[float] = []
    for context in job.decode:
        if context <= room and (not seconds or min(seconds) < job.patience):
            length = min(context, room - TOKENS)  # room for what is written
            seconds = list(time_steps(run, ids, length, job.patience))
            rates[context] = 1 / float(np.median(seconds))
    return rates, max(1, len(seconds))


def count_room(config: Config) -> int:
    """The longest context of a model, if that is enough to measure it."""
    room = config.max_position_embeddings
    if room < TOKENS:
        raise ValueError(f"context must be {TOKENS} or more to be measured, got {room}")
    return room


def clock(run: Run, ids: I64, length: int) -> float:
    """Seconds to read some tokens.

    ids (T,) -> seconds ()
    """
    start = time.perf_counter()
    run(ids, length)
    return time.perf_counter() - start


def time_steps(run: Run, ids: I64, context: int, patience: float) -> Iterator[float]:
    """Seconds of each decode step: of one, and of more as patience allows.

    ids (T,)
    """
    spent = 0.0
    for n in range(TOKENS):
        if spent * (n + 1) / max(n, 1) > patience:
            return
        seconds = clock(run, ids[n : n + 1], context + n)
        spent += seconds
        yield seconds


def prepare(job: Job) -> tuple[Run, Config, Model | None]:
    """A model ready to be measured: how it is run, its config and, if ours, itself."""
    if job.way == "transformers":
        return prepare_transformers(job)
    kernel = prepare_float32 if job.way == "float32" else job.way
    model, _ = load(job.directory, kernel=kernel, threads=job.threads)
    if job.way == "float32":
        head: Any = bf16.widen(model.lm_head)
        model = replace(model, lm_head=head)
    cache = KVCache(model.config, model.config.max_position_embeddings)

    def run(ids: I64, length: int) -> object:
        pretend(cache, length)
        return forward(model, ids, cache, last=True)

    return run, model.config, model


def pretend(cache: KVCache, length: int) -> None:
    """Make a cache as long as if a text had been read: made up, where it is longer."""
    new = slice(cache.length, max(length, cache.length))
    rng = np.random.default_rng(0)
    for array in (cache.keys, cache.values):
        array[:, :, new] = rng.random(array[:, :, new].shape, np.float32)
    cache.length = length


def prepare_float32(packed: Sequence[U8], rows: Sequence[int]) -> Multiply:
    """A kernel that keeps all weights as float32: the obvious way to use BLAS.

    Sixteen times as many bytes; exact for the widths of 2B4T.
    """
    pairs = zip(packed, rows, strict=True)
    matrices = [unpack(p, M).astype(np.float32) for p, M in pairs]

    def multiply(x_codes: I8) -> list[I32]:
        x = x_codes.astype(np.float32)
        return [multiply_one(x, weights) for weights in matrices]

    def multiply_one(x: F32, weights: F32) -> I32:
        parts = split(lambda start, stop: x @ weights[start:stop].T, len(weights))
        return np.concatenate(parts, axis=1).astype(np.int32)

    return multiply


def prepare_transformers(
    job: Job,
) -> tuple[Run, Config, None]:  # pragma: no cover  (PyTorch is no dependency)
    """The same checkpoint in PyTorch, bfloat16."""
    import torch
    from transformers import AutoModelForCausalLM, DynamicCache

    torch.set_num_threads(job.threads)
    model = AutoModelForCausalLM.from_pretrained(job.directory, dtype=torch.bfloat16)
    c = open_checkpoint(job.directory).config
    cache = DynamicCache()

    def run(ids: I64, length: int) -> object:
        nonlocal cache
        if length == 0:
            cache = DynamicCache()
        while cache.get_seq_length() < length:  # a made-up context
            missing = min(512, length - cache.get_seq_length())
            shape = (1, c.num_key_value_heads, missing, c.head_dim)
            for layer in range(c.num_hidden_layers):
                random = torch.rand(shape, dtype=torch.bfloat16)
                cache.update(random, random, layer)
        with torch.inference_mode():
            tokens = torch.from_numpy(ids)[None]
            return model(tokens, past_key_values=cache, logits_to_keep=1)

    return run, c, None


def time_stages(model: Model, ids: I64) -> dict[str, float]:
    """Seconds of a decode step by stage, each up to where its array is made.

    ids (T,)
    """
    cache = KVCache(model.config, len(ids))
    seconds: dict[str, float] = {}
    for token in ids:
        last = time.perf_counter()

        def listener(name: str, array: object) -> None:
            nonlocal last
            now = time.perf_counter()
            stage = name.split(".", 2)[2] if name.startswith("layers.") else name
            seconds[stage] = seconds.get(stage, 0.0) + (now - last) / len(ids)
            last = now

        with listen(listener):
            forward(model, [int(token)], cache, last=True)
    return seconds
