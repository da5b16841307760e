"""Detect the layout of a file: of one tensor, or of all that a file holds.

What a file says of a tensor is its name and its size, sometimes a type. The rest is
found by trying (`minibitnet.formats.detect`). A whole checkpoint tells more than one
matrix: all its matrices have one layout, and the gains of its norms say how much each
input and output matters. With a config the heads are known, too, and so it may be seen
how RoPE takes the rows of q and k (`minibitnet.checkpoint.rowpairs`).

Examples
--------
>>> from minibitnet.stories import BUILT_IN
>>> found = find_layout(BUILT_IN)
>>> found.verdict.layouts, found.verdict.sure, found.order
(('packed',), True, 'halves')
"""

class Found(NamedTuple):
    """What a file was found to be."""

    tensors: Sequence[str]
    shape: tuple[int, int] | None  # of one tensor
    guesses: Sequence[Guess]
    verdict: Verdict
    order: str | None = None  # of q's and k's rows; None where there is no config
    evidence: Mapping[str, float] = MappingProxyType({})  # for halves, for neighbours


def find_layout(
    path: str | Path,
    tensor: str | None = None,
    rows: int | None = None,
    columns: int | None = None,
) -> Found:
    """The layout of a tensor, or of all matrices of some layers.

    Parameters
    ----------
    path : str or Path
        A safetensors file, or a directory that has some; a GGUF file; a .npy file, or
        any other one, of bytes.
    tensor : str, optional
        The name of one.
    rows, columns : int, optional
        The size of the matrix, where the file does not say.

    Raises
    ------
    CheckpointError
        If the file cannot be read, is damaged, or holds no such tensor.
    """
    if (rows is None) != (columns is None):
        raise ValueError("--rows and --columns must be given together")
    shape = (rows, columns) if rows is not None and columns is not None else None
    file = read_file(Path(path), tensor, shape)
    if len(file.packed) == 1:
        return find_of_one(file.packed[0], shape)
    return find_of_all(file)


def find_of_one(stored: Stored, given: tuple[int, int] | None) -> Found:
    """The layout of a tensor, by the likeliest of its shapes."""
    shapes = [given] if given else [*stored.shapes]
    best = max(
        ((shape, _try(stored, shape)) for shape in shapes),
        key=lambda found: (found[1][0].possible, found[1][0].score),
    )
    verdict = judge(best[1], stored.data.size)
    return Found([stored.name], best[0], best[1], verdict)


def find_of_all(file: File) -> Found:
    """The one layout of several tensors, and the order of the rows of q and k."""
    packed = of_some_layers(file.packed)
    tried = [_try(stored, stored.shapes[0]) for stored in progress(packed, "detecting")]
    guesses = pool(tried)
    verdict = judge(guesses, sum(stored.data.size for stored in packed))
    found = Found([stored.name for stored in packed], None, guesses, verdict)
    if file.config is None or not verdict.layouts:
        return found
    evidence = rope_order(file, verdict.layouts[0])
    clear = [name for name, z in evidence.items() if z > CLEAR]
    order = clear[0] if len(clear) == 1 else "unknown"
    return found._replace(order=order, evidence=evidence)


def of_some_layers(packed: Sequence[Stored]) -> list[Stored]:
    """The tensors of the first, the last and a few other layers."""
    layers = sorted({_layer(stored.name) for stored in packed})
    chosen = np.linspace(0, len(layers) - 1, min(LAYERS, len(layers))).round()
    wanted = {layers[int(n)] for n in chosen}
    return [stored for stored in packed if _layer(stored.name) in wanted]


def _layer(name: str) -> int:
    """The layer of a tensor; -1 if it is in none."""
    parts = name.split(".")
    number = parts[2] if len(parts) > 2 else ""
    return int(number) if number.isdecimal() and len(number) < 6 else -1


def _try(stored: Stored, shape: tuple[int, int]) -> list[Guess]:
    """Every layout of a tensor of that shape; none is possible without weights."""
    M, N = shape
    if not 0 < M * N <= 16 * stored.data.size:
        why = f"{stored.data.size} bytes are no matrix of {M} x {N}"
        return in_order([Guess(name, False, 0.0, why) for name in READINGS])
    inputs = stored.inputs if _fits(stored.inputs, N) else None
    outputs = stored.outputs if _fits(stored.outputs, M) else None
    return detect(stored.data, M, N, inputs, outputs)


def _fits(values: F32 | None, size: int) -> bool:
    """Whether there is a number for each."""
    return values is not None and values.shape == (size,)


