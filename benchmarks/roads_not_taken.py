"""Time what the kernels might have been, beside what they are.

Random weights in the shapes of 2B4T, several copies so that no cache holds them::

    python benchmarks/roads_not_taken.py

How many weights an index of `minibitnet.kernels.lookup` stands for; the product of one
token by the share of activations that are not zero, which is where ``auto`` changes
over; two ways to widen the bfloat16 head; and three tokens in one float64.
"""

import time
import types
from functools import partial
from pathlib import Path

import numpy as np

from minibitnet.checkpoint.configfile import parse_config
from minibitnet.files.published import CONFIG
from minibitnet.kernels import blas, head, lookup
from minibitnet.kernels.threads import count_threads, split, use_threads
from minibitnet.weights import matrices

COPIES = 6
SIZES = matrices(parse_config(CONFIG))
SHAPES = {  # joined as the model joins them
    "q, k, v": (3840, 2560),
    "o": SIZES["self_attn.o_proj"],
    "gate, up": (2 * 6912, 2560),
    "down": SIZES["mlp.down_proj"],
}
rng = np.random.default_rng(0)


def random_packed(M, N):
    stored = rng.integers(0, 3, (4, M // 4, N), np.uint8)
    return np.bitwise_or.reduce(stored << np.arange(0, 8, 2, np.uint8)[:, None, None])


def clock(work, copies):
    """Milliseconds, the quickest of some rounds over all copies."""
    rounds = []
    for _ in range(5):
        start = time.perf_counter()
        for copy in copies:
            work(copy)
        rounds.append((time.perf_counter() - start) / len(copies) * 1000)
    return min(rounds)


def with_groups_of(n):
    """The module `lookup`, another number in place of 7."""
    source = Path(lookup.__file__).read_text()
    module = types.ModuleType(f"lookup_{n}")
    for old, new in (
        ("GROUP = 7 ", f"GROUP = {n} "),
        ("3**10 // TABLE ", "min(3**10 // TABLE, 2**15 // (128 * GROUP)) "),
    ):
        assert old in source
        source = source.replace(old, new)
    exec(source, vars(module))
    return module


def compare_groups():
    print("\nlookup, one token, ms, by weights to an index\n")
    sizes = (5, 6, 7, 8)
    print("| |", " | ".join(map(str, sizes)), "|")
    for name, (M, N) in SHAPES.items():
        packed = [random_packed(M, N) for _ in range(COPIES)]
        x_codes = rng.integers(-127, 128, (1, N)).astype(np.int8)
        cells = []
        for n in sizes:
            module = with_groups_of(n)
            copies = [module.lay_out([p], [M]) for p in packed]
            work = partial(module.lookup_matmul, x_codes)
            cells.append(clock(work, copies))
        print(f"| {name} |", " | ".join(f"{ms:.2f}" for ms in cells), "|")


def compare_zeros():
    print("\ndown, one token, ms, by the share of activations that are not zero\n")
    M, N = SHAPES["down"]
    packed = [random_packed(M, N) for _ in range(COPIES)]
    indices = [lookup.lay_out([p], [M]) for p in packed]
    print("| share | blas on those | lookup |")
    for share in (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 1.0):
        x_codes = rng.integers(1, 128, (1, N)).astype(np.int8)
        x_codes[:, rng.random(N) >= share] = 0
        used = np.flatnonzero(x_codes)

        def work(p, x_used=x_codes[:, used], used=used):
            blas.blas_matmul(x_used, p[:, used])

        by_tables = clock(partial(lookup.lookup_matmul, x_codes), indices)
        print(f"| {share} | {clock(work, packed):.2f} | {by_tables:.2f} |")


def project_halves(x, bits):
    """Two neighbours as one number: a mask makes one float32, a shift the other."""
    M, N = bits.shape
    y = np.empty(M, np.float32)
    even, odd = x[0, 0::2].copy(), x[0, 1::2].copy()
    wide = bits.view(np.uint32)

    def work(first, last):
        space = np.empty((head.ROWS, N // 2), np.uint32)
        for start in range(head.ROWS * first, min(head.ROWS * last, M), head.ROWS):
            block = wide[start : start + head.ROWS]
            part = space[: len(block)]
            np.left_shift(block, 16, out=part)
            sums = part.view(np.float32) @ even
            np.bitwise_and(block, 0xFFFF0000, out=part)
            y[start : start + len(block)] = sums + part.view(np.float32) @ odd

    split(work, -(-M // head.ROWS))
    return y[None]


def compare_heads():
    V, D = CONFIG["vocab_size"], CONFIG["hidden_size"]
    E = rng.standard_normal((V, D), np.float32).view(np.uint32) >> 16
    bits = E.astype(np.uint16)
    x = rng.standard_normal((1, D), np.float32)
    np.testing.assert_allclose(
        project_halves(x, bits), head.project(x, bits), atol=0.01
    )
    print("\nhead, one token, ms")
    in_space = partial(head.project_one, x[0], longest=head.longest_row(bits))
    print(f"widened in a space: {clock(in_space, [bits]):.0f}")
    print(f"by halves: {clock(partial(project_halves, x), [bits]):.0f}")


DIGIT = 2.0**18  # three sums below 2**17 are the digits of a number below 2**53


def three_in_one(x_codes, packed):
    """The product through float64, x1 + x2 * DIGIT + x3 * DIGIT**2 for three tokens.

    Exact while no token's codes add up to more than 131,000 in magnitude.
    """
    (T, N), R = x_codes.shape, len(packed)
    thirds = -(-T // 3)
    x = np.zeros((3, thirds, N))
    x.reshape(-1, N)[:T] = x_codes
    x = x[0] + x[1] * DIGIT + x[2] * DIGIT**2
    acc = np.empty((3, thirds, 4, R), np.int32)
    rows = min(R, -(-blas.BLOCK // 2 // N))
    weights_of_byte = blas.WEIGHTS_OF_BYTE.astype(np.float64)

    def work(first, last):
        for start in range(first, last, rows):
            block = slice(start, min(start + rows, last))
            weights = weights_of_byte.take(packed[block].T, axis=0)  # (N, r, 4)
            sums = x @ weights.reshape(N, -1)
            for place in (2, 1):
                digit = np.rint(sums / DIGIT**place)
                sums -= digit * DIGIT**place
                acc[place, :, :, block] = digit.reshape(thirds, -1, 4).swapaxes(1, 2)
            acc[0, :, :, block] = sums.reshape(thirds, -1, 4).swapaxes(1, 2)

    split(work, R)
    return acc.reshape(3 * thirds, 4 * R)[:T]


def compare_three():
    print("\nprefill, all products of a layer, ms\n")
    print("| tokens | float32 | three tokens in a float64 |")
    for T in (16, 64, 256, 512):
        cells = [0.0, 0.0]
        for M, N in SHAPES.values():
            p = random_packed(M, N)
            size = 33 if N == 2560 else 4  # behind squared ReLU most codes are small
            normal = rng.standard_normal((T, N)) * size
            x_codes = np.clip(np.rint(normal), -128, 127).astype(np.int8)
            ways = [partial(way, x_codes) for way in (blas.blas_matmul, three_in_one)]
            np.testing.assert_array_equal(ways[0](p), ways[1](p))
            cells = [ms + clock(way, [p]) for ms, way in zip(cells, ways, strict=True)]
        print(f"| {T} |", " | ".join(f"{ms:.0f}" for ms in cells), "|")


if __name__ == "__main__":
    threads = count_threads(None)
    print(threads, "threads")
    with use_threads(threads):
        compare_groups()
        compare_zeros()
        compare_heads()
        compare_three()
