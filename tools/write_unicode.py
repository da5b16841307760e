"""Write ports/c/unicode.h: the letters and numbers of Unicode, for the port in C.

The version is that of the Python that runs this. Use: python tools/write_unicode.py
"""

import unicodedata
from pathlib import Path

HEADER = Path(__file__).parents[1] / "ports" / "c" / "unicode.h"
TEXT = """/* The letters and numbers of Unicode {version}, \\p{{L}} and \\p{{N}}.
   Written by tools/write_unicode.py. */

typedef struct {{
    uint32_t first, last;
}} Range;

static const Range LETTERS[] = {{
{letters}
}};

static const Range NUMBERS[] = {{
{numbers}
}};
"""


def find_ranges(kind: str) -> list[list[int]]:
    """The first and last of each run of code points whose category begins so."""
    ranges: list[list[int]] = []
    for code in range(0x110000):
        if unicodedata.category(chr(code))[0] != kind:
            continue
        if ranges and ranges[-1][1] == code - 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    return ranges


def write_rows(ranges: list[list[int]], across: int = 4) -> str:
    """As rows of a table in C."""
    words = [f"{{{first:#x}, {last:#x}}}," for first, last in ranges]
    rows = (words[i : i + across] for i in range(0, len(words), across))
    return "\n".join("    " + " ".join(row) for row in rows)


def make_header() -> str:
    """The header."""
    return TEXT.format(
        version=unicodedata.unidata_version,
        letters=write_rows(find_ranges("L")),
        numbers=write_rows(find_ranges("N")),
    )


if __name__ == "__main__":
    HEADER.write_text(make_header(), encoding="ascii")
