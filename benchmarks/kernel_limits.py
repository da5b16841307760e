"""Where each kernel of `auto` is the quickest: what its limits were read off.

For the matrices of 2B4T, some numbers of tokens and some fractions of columns that are
used: milliseconds by tables, by BLAS, and by BLAS on the used columns alone, the best
of several rounds in turn; and how much longer than the best of them that takes which
`auto` chooses. (The inputs of q, k, v, gate and up are seldom zero, those of down are.)

    python benchmarks/kernel_limits.py --threads 2
"""

import argparse
from time import perf_counter

import numpy as np

from minibitnet.arrays import I8, I32
from minibitnet.kernels import auto, blas, lookup
from minibitnet.kernels.threads import use_threads
from minibitnet.packing import pack

MATRICES = {
    "q, k, v": ((2560, 640, 640), 2560),
    "o": ((2560,), 2560),
    "gate, up": ((6912, 6912), 2560),
    "down": ((2560,), 6912),
}
USED = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 1.0)


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--tokens", type=int, nargs="+", default=range(1, 9))
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    print("| matrices | T | used | few | many | sparse | auto | longer |")
    print("|---|---|---|---|---|---|---|---|")
    with use_threads(args.threads):
        for name, (rows, N) in MATRICES.items():
            packed = [pack(rng.integers(-1, 2, (M, N), np.int8)) for M in rows]
            tables = lookup.prepare(packed, rows)

            def sparse(x: I8, packed=packed, rows=rows) -> list[I32]:
                used = np.flatnonzero(x.any(axis=0))
                columns = [p.take(used, axis=1, mode="wrap") for p in packed]
                return blas.prepare(columns, rows)(x[:, used])

            ways = {"few": tables, "many": blas.prepare(packed, rows), "sparse": sparse}
            for T in args.tokens:
                for fraction in USED:
                    x = rng.integers(-128, 128, (T, N), np.int8)
                    x[:, round(fraction * N) :] = 0
                    best = measure(ways, x, args.rounds)
                    way = auto.choose(T, round(fraction * N), N)
                    times = [f"{1000 * seconds:.2f}" for seconds in best.values()]
                    longer = f"{best[way] / min(best.values()) - 1:.0%}"
                    cells = [name, str(T), f"{fraction:.0%}", *times, way, longer]
                    print(f"| {' | '.join(cells)} |", flush=True)


def measure(ways, x: I8, rounds: int) -> dict[str, float]:
    """The shortest time of each way, in turn, in seconds: x (T, N)."""
    best = dict.fromkeys(ways, np.inf)
    for _ in range(rounds):
        for way, multiply in ways.items():
            start = perf_counter()
            multiply(x)
            best[way] = min(best[way], perf_counter() - start)
    return best


if __name__ == "__main__":
    main()
