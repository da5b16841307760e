"""Write FORMATS.md and formats.svg: the same matrix in every layout, byte by byte.

Use: python tools/write_atlas.py
"""

import importlib
from pathlib import Path

import numpy as np

from minibitnet.checkpoint.configfile import parse_config
from minibitnet.evaluation.costs import count_weights
from minibitnet.files.published import CONFIG
from minibitnet.formats import LAYOUTS, i2_s
from minibitnet.formats.atlas import byte_of_each, weights_in
from minibitnet.formats.detect import READINGS
from minibitnet.golden.draws import draw
from minibitnet.golden.zoo import ZOO, mutate

ROOT = Path(__file__).parents[1]
PAGE, PICTURE = ROOT / "FORMATS.md", ROOT / "formats.svg"
M, N = 16, 256  # the smallest matrix that every layout can hold
SHOWN = 4  # bytes of each layout
PART = 12, 23  # of a row, shown under each mistake: from one half block to the next
TRITS = draw("packed", 7, (M, N)) % 3
TRITS = TRITS.astype(np.int8) - np.int8(1)
MODULES = {"i2_s_arm": "i2_s", "i2_s_rows": "i2_s"}
SCALE = 0.65625
TAIL = slice(-32, -28), "the scale, float32; 28 bytes without a meaning follow"
BEHIND = {  # what other bytes are
    **dict.fromkeys(("i2_s", "i2_s_arm", "i2_s_rows"), TAIL),
    "tq2_0": (slice(64, 66), "the scale of the first block, float16"),
    "tq1_0": (slice(52, 54), "the scale of the first block, float16"),
    "tl2": (slice(512, 514), "signs of the first 16 threes, lowest byte first"),
}
SCALED = {"i2_s", "i2_s_arm", "i2_s_rows", "tq2_0", "tq1_0"}
COLORS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00")
COLORS += ("#8c6d31", "#7f3c8d")
GREY, PALE = "#9a9a9a", "#eeeeee"
CELL = 3, 5  # points of a weight, across and down
LEFT, LINE = 8, 26
HEAD = """# The same weights in every layout

A ternary weight is -1, 0 or +1 in every program. How four or five of them share a byte, and which ones, every program decides for itself,
and a file rarely says. Here is one matrix of {M} rows and {N} columns, drawn at random, in each of the layouts that
[formats/](minibitnet/formats) reads and writes: its first bytes, which weights they hold, and what comes out if they are read otherwise.

```console
$ minibitnet detect FILE
```

says in which of them a file is, as far as that can be told. This page is written by `tools/write_atlas.py`; [notebook 18](notebooks/18_layouts.ipynb) does it by hand.

![In each layout the weights of the first eight bytes, a colour each, and in grey those of the next twenty-four](formats.svg)

Each strip is the whole matrix, rows downward. The weights of the first eight bytes have a colour each, those of the next twenty-four are grey.

## At a glance

log2(3) = {bound:.4f} bits are the least that a weight of three equally frequent values needs. 2B4T has {weights:,} of them.

| layout | met in | bits a weight | 2B4T, MB | rows, columns a multiple of | weights of the first byte, as row, column |
|---|---|---|---|---|---|
"""
BYTES = """
## Byte by byte

The first {SHOWN} bytes of the matrix, in hexadecimal and in bits, and the weights in them.
"""
WRONG = """
## Read as another

What the bytes of each layout give if they are read as another one, or in an order that no format has (the layout's name, then what shares a
byte, and which of them is in the lowest bits). Most readings are refused: the size does not fit, or a byte stands for nothing. Those that are not give as many -1,
0 and +1 as before, in wrong places, so nothing that counts weights can notice. (Of weights drawn at random a third agree by chance, and some readings leave
some where they were.)

| written as | read as, and weights that are right |
|---|---|
"""
BUGS = """
## Mistakes that ports made with I2_S

Each as a line of [i2_s.py](minibitnet/formats/i2_s.py), in [BUGS.md](BUGS.md), and what it makes of some weights of the first row. Test vectors find them (`unpack_gguf` in
[vectors/v1](vectors/v1/README.md)), and `minibitnet diagnose` in any whole model's numbers.

| mistake | weights that are right | scale ({SCALE}) | weights {PART[0]} to {PART[1]} |
|---|---|---|---|
"""


def pack(name):
    """The bytes of the matrix; with a scale where the layout has one."""
    if name in SCALED:
        module = importlib.import_module(
            f"minibitnet.formats.{MODULES.get(name, name)}"
        )
        function = {"i2_s_arm": "pack_arm", "i2_s_rows": "pack_rows"}.get(name, "pack")
        return getattr(module, function)(TRITS, SCALE)
    return LAYOUTS[name].pack(TRITS)


def page(places):
    """The whole page."""
    total = count_weights(parse_config(CONFIG)).ternary
    head = HEAD.format(M=M, N=N, bound=np.log2(3), weights=total)
    rows = [glance(name, places[name], total) for name in LAYOUTS]
    parts = [head + "\n".join(rows), BYTES.format(SHOWN=SHOWN)]
    parts += [section(name, places[name]) for name in LAYOUTS]
    parts.append(WRONG.strip("\n") + "\n" + "\n".join(map(readings, LAYOUTS)))
    rows = [mistake(bug) for bug in ZOO if i2_s.__name__ in bug.in_layouts()]
    right = f"| none | 100 % | {SCALE} | {listed(TRITS[0, PART[0] : PART[1] + 1])} |"
    parts.append(
        BUGS.strip("\n").format(SCALE=SCALE, PART=PART)
        + "\n"
        + "\n".join([right, *rows])
    )
    return "\n".join(part.rstrip("\n") + "\n" for part in parts)


def glance(name, places, total):
    layout = LAYOUTS[name]
    of = ", ".join(map(str, layout.multiples))
    held = " · ".join(f"{m}, {n}" for m, n in weights_in(places, 0))
    size = total * layout.bits_per_weight / 8e6
    module = MODULES.get(name, name)
    file = f"formats/{module}.py" if module != "packed" else "packing.py"
    link = f"[`{name}`](minibitnet/{file})"
    return f"| {link} | {layout.where} | {bits(name)} | {size:.0f} | {of} | {held} |"


def bits(name):
    return f"{LAYOUTS[name].bits_per_weight:.4f}".rstrip("0").rstrip(".")


def section(name, places):
    """The first bytes of a layout."""
    data = pack(name)
    lines = [f"### {name}\n", f"{len(data)} bytes.\n", "```"]
    for at in range(SHOWN):
        held = weights_in(places, at)
        weights = "  ".join(f"w[{m},{n}] {TRITS[m, n]:+d}" for m, n in held)
        byte = f"{data[at]:08b}"
        pairs = " ".join(byte[i : i + 2] for i in range(0, 8, 2))
        lines.append(
            f"byte {at}  {data[at]:02x}  {pairs}  {weights}".replace("+0", " 0")
        )
    if name in BEHIND:
        where, what = BEHIND[name]
        start, stop, _ = where.indices(len(data))
        values = " ".join(f"{byte:02x}" for byte in data[where])
        lines.append(f"bytes {start} to {stop - 1}  {values}  {what}")
    return "\n".join([*lines, "```"])


def readings(name):
    """The ways of reading the bytes of a layout that are not refused."""
    data, found = pack(name), []
    for other, unpack in READINGS.items():
        if other != name:
            try:
                codes = unpack(data, M, N)
            except ValueError:
                continue
            found.append(f"`{other}` {(codes == TRITS).mean():.0%}")
    return f"| `{name}` | {', '.join(found) or 'none'} |".replace("%", " %")


def mistake(bug):
    """What a mistake makes of the bytes of I2_S."""
    port, data = mutate(bug.in_layouts()[i2_s.__name__]), pack("i2_s")
    codes, scale = port.unpack(data, M, N), port.unpack_scale(data)
    right = f"{(codes == TRITS).mean():.0%}".replace("%", " %")
    name = f"[{bug.name}](BUGS.md#{bug.name})"
    return (
        f"| {name} | {right} | {scale:g} | {listed(codes[0, PART[0] : PART[1] + 1])} |"
    )


def listed(codes):
    return " ".join(f"{code:+d}" if code else "0" for code in codes)


def picture(places):
    """The picture: a strip for each layout."""
    width, height = CELL[0] * N + 2 * LEFT, (CELL[1] * M + LINE) * len(LAYOUTS) + 8
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" font-family="sans-serif" font-size="13">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    for at, name in enumerate(LAYOUTS):
        top = at * (CELL[1] * M + LINE)
        lines += strip(name, places[name], top)
    return "\n".join([*lines, "</svg>\n"])


def strip(name, places, top):
    """The matrix in one layout: its name, a pale ground, and the first bytes."""
    yield (
        f'<text x="{LEFT}" y="{top + 19}"><tspan font-weight="bold">{name}</tspan> '
        f"{LAYOUTS[name].where}, {bits(name)} bits a weight</text>"
    )
    top += LINE
    yield rect(LEFT, top, CELL[0] * N, CELL[1] * M, PALE)
    for m, row in enumerate(places):
        colors = [COLORS[b] if b < len(COLORS) else GREY if b < 32 else "" for b in row]
        edges = [n for n in range(N) if n == 0 or colors[n] != colors[n - 1]]
        for begin, end in zip(edges, [*edges[1:], N], strict=True):
            if colors[begin]:
                x, y = LEFT + CELL[0] * begin, top + CELL[1] * m
                yield rect(x, y, CELL[0] * (end - begin), CELL[1], colors[begin])


def rect(x, y, width, height, fill):
    return f'<rect x="{x}" y="{y}" width="{width}" height="{height}" fill="{fill}"/>'


def make():
    """The page and the picture."""
    places = {name: byte_of_each(layout, M, N) for name, layout in LAYOUTS.items()}
    return page(places), picture(places)


if __name__ == "__main__":
    text, drawing = make()
    PAGE.write_text(text, "utf-8")
    PICTURE.write_text(drawing, "utf-8")
