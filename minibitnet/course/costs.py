"""Exercises of notebook 15, bytes, operations and joules."""

from minibitnet.course.exercise import Exercise

ADD = 0.007  # picojoules: INT8, for a ternary weight
MULTIPLY_ADD = 0.50  # FP16, for the head and attention


def matrix_bytes(D: int, F: int, H: int, G: int, d: int, bits: float) -> float:
    """The right answer to `check_matrix_bytes`."""
    return (2 * H * d * D + 2 * G * d * D + 3 * F * D) * bits / 8


def matrix_bytes_of_query_heads(
    D: int, F: int, H: int, G: int, d: int, bits: float
) -> float:
    """A key and a value for each query head."""
    return matrix_bytes(D, F, H, H, d, bits)


def matrix_bytes_without_gate(
    D: int, F: int, H: int, G: int, d: int, bits: float
) -> float:
    """A feed-forward of two matrices."""
    return matrix_bytes(D, F, H, G, d, bits) - F * D * bits / 8


def matrix_bytes_of_squares(
    D: int, F: int, H: int, G: int, d: int, bits: float
) -> float:
    """The q and o projections taken for squares."""
    return (2 * D * D + 2 * G * d * D + 3 * F * D) * bits / 8


def matrix_bytes_of_one(D: int, F: int, H: int, G: int, d: int, bits: float) -> float:
    """One matrix for q and o, one for k and v."""
    return (H * d * D + G * d * D + 3 * F * D) * bits / 8


def matrix_bits(D: int, F: int, H: int, G: int, d: int, bits: float) -> float:
    """Bits for bytes."""
    return matrix_bytes(D, F, H, G, d, bits) * 8


def token_energy(
    ternary: int, head: int, width: int, layers: int, tokens: int
) -> float:
    """The right answer to `check_token_energy`."""
    floats = head + 2 * tokens * width * layers
    return (ternary * ADD + floats * MULTIPLY_ADD) / 1e6


def token_energy_without_head(
    ternary: int, head: int, width: int, layers: int, tokens: int
) -> float:
    """As the report counts."""
    return token_energy(ternary, 0, width, layers, tokens)


def token_energy_without_values(
    ternary: int, head: int, width: int, layers: int, tokens: int
) -> float:
    """Scores, but no weighted values."""
    return token_energy(ternary, head, width, layers, tokens) - (
        tokens * width * layers * MULTIPLY_ADD / 1e6
    )


def token_energy_of_floats(
    ternary: int, head: int, width: int, layers: int, tokens: int
) -> float:
    """Ternary weights multiplied."""
    return token_energy(0, ternary + head, width, layers, tokens)


def token_energy_of_pass(
    ternary: int, head: int, width: int, layers: int, tokens: int
) -> float:
    """All tokens for one."""
    return tokens * token_energy(ternary, head, width, layers, tokens)


def token_energy_of_one_layer(
    ternary: int, head: int, width: int, layers: int, tokens: int
) -> float:
    """Attention in one layer."""
    return token_energy(ternary, head, width, 1, tokens)


def token_energy_exchanged(
    ternary: int, head: int, width: int, layers: int, tokens: int
) -> float:
    """Additions for floats and products for weights."""
    floats = head + 2 * tokens * width * layers
    return token_energy(floats, ternary, 0, 0, 0)


def token_energy_in_picojoules(
    ternary: int, head: int, width: int, layers: int, tokens: int
) -> float:
    """The unit forgotten."""
    return 1e6 * token_energy(ternary, head, width, layers, tokens)


check_cache = Exercise(
    right=76_800,  # 2 * 30 * 5 * 128 * 2
    mistakes={
        "That is half. Keys are kept and values, and a number takes two bytes.": 38_400,
        "You counted a key and a value for each query head. There are G of them, not H."
        "": 307_200,
        "That is one layer. Each of the 30 keeps its own.": 2_560,
        "That is float32, which this package keeps. Here a number has two bytes."
        "": 153_600,
        "Those are bits. Eight make a byte.": 614_400,
    },
)
check_matrix_bytes = Exercise(
    right=matrix_bytes,
    mistakes={
        "You made k and v as large as q. They have G heads, not H."
        "": matrix_bytes_of_query_heads,
        "One matrix of the feed-forward is missing: it has gate, up and down."
        "": matrix_bytes_without_gate,
        "You counted q and k, but o and v are as large again.": matrix_bytes_of_one,
        "You took q and o for D x D. They are H d x D and D x H d."
        "": matrix_bytes_of_squares,
        "Those are bits. Eight make a byte.": matrix_bits,
    },
    cases=[
        (2560, 6912, 20, 5, 128, 2),
        (1152, 6912, 4, 1, 256, 16),
        (7, 11, 6, 3, 5, 1.58),
    ],
)
check_token_energy = Exercise(
    right=token_energy,
    mistakes={
        "You left out the head, as the report does. Each generated token reads it."
        "": token_energy_without_head,
        "You counted one product in attention. There are two: queries with keys, "
        "weights with values.": token_energy_without_values,
        "You multiply by ternary weights. A ternary weight is one addition, 0.007 pJ."
        "": token_energy_of_floats,
        "That is a pass over all tokens. Only one is generated; the others are in the "
        "cache.": token_energy_of_pass,
        "You counted attention in one layer. Each layer has its own."
        "": token_energy_of_one_layer,
        "You exchanged the two: 0.007 pJ is for the ternary weights, 0.50 pJ for the "
        "rest.": token_energy_exchanged,
        "Those are picojoules. A microjoule is a million of them."
        "": token_energy_in_picojoules,
    },
    cases=[
        (2_084_044_800, 328_335_360, 2560, 30, 512),
        (4_153_344, 1_048_576, 256, 6, 100),
        (1_000, 30, 7, 3, 5),
    ],
)
