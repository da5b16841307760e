"""Bugs of layouts: the codes of a GGUF file in another order.

I2_S is what most people have on disk, and is written down in no document; so a port
guesses, and what it guesses is as valid as what is right. The page reads another
layout, and is made to have the order that comes of it.
"""

from minibitnet.golden.zoo.bug import Bug, Change

I2_S, TQ2_0 = "minibitnet.formats.i2_s", "minibitnet.formats.tq2_0"
UNPACK = "    return np.concatenate(bands)[:M].astype(np.int8) - np.int8(1)"
PARTED = "to_codes(_part(data[:-TAIL].reshape(-1, block // 4)).reshape(M, N))"
FOURS = "    fours = (np.concatenate(bands)[:M].astype(np.int8) - 1).reshape(-1, 4, 32)"

LAYOUTS = (
    Bug(
        name="blocks-of-64",
        where="microsoft/BitNet#585",
        right=UNPACK,
        wrong="    codes = np.concatenate(bands)[:M].astype(np.int8) - np.int8(1)\n"
        "    return codes.reshape(-1, 4, 2, 16).swapaxes(1, 2).reshape(codes.shape)",
        symptom='On one kind of processor only: "!!!!!!!!" or words that do not belong '
        "together.",
        first_stage="q.acc",
        look_for="blocks of 64 instead of 128 in I2_S: files have 128 codes in 32 "
        "bytes, whatever processor reads them.",
        layouts=(
            Change(
                "blocks-of-64",
                "BLOCK, BLOCK_ARM = 128, 64",
                "BLOCK, BLOCK_ARM = 64, 64",
                I2_S,
            ),
        ),
    ),
    Bug(
        name="block-bits-reversed",
        where="m96-chan/0xBitNet",
        right=UNPACK,
        wrong="    codes = np.concatenate(bands)[:M].astype(np.int8) - np.int8(1)\n"
        "    return codes.reshape(-1, 4, 32)[:, ::-1].reshape(codes.shape)",
        symptom="Nonsense. All counts of -1, 0 and +1 are right.",
        first_stage="q.acc",
        look_for="the shifts of the four quarters of a block: I2_S has the first in "
        "the highest bits, TQ2_0 in the lowest.",
        layouts=(
            Change(
                "block-bits-reversed",
                "np.array([6, 4, 2, 0]",
                "np.array([0, 2, 4, 6]",
                I2_S,
            ),
            Change(
                "block-bits-reversed",
                "np.array([0, 2, 4, 6]",
                "np.array([6, 4, 2, 0]",
                TQ2_0,
            ),
        ),
    ),
    Bug(
        name="blocks-in-sequence",
        where="SKaiNET-developers/SKaiNET#1140",
        right=UNPACK,
        wrong=f"{FOURS}\n"
        "    return fours[:, ::-1].swapaxes(1, 2).reshape(M, packed.shape[1])",
        symptom="Confident nonsense. All counts of -1, 0 and +1 are right.",
        first_stage="q.acc",
        look_for="which codes of a row are in a byte of I2_S: four that are 32 apart, "
        "the first in the highest bits, not four neighbours.",
        layouts=(
            Change(
                "blocks-in-sequence",
                PARTED,
                "to_codes((data[:-TAIL, None] >> SHIFTS[::-1] & 3).reshape(M, N))",
                I2_S,
            ),
        ),
    ),
    Bug(
        name="blocks-as-four-rows",
        where="microsoft/BitNet@112f853",
        right=UNPACK,
        wrong=f"{FOURS}\n"
        "    fours = fours.swapaxes(1, 2).reshape(M // 4, -1, 4).swapaxes(1, 2)\n"
        "    return fours.reshape(M, packed.shape[1])",
        symptom="Nonsense. All counts of -1, 0 and +1 are right.",
        first_stage="q.acc",
        look_for="which codes are in a byte of I2_S: four of one row, 32 apart, not "
        "those of four rows in one column, as one build of bitnet.cpp has it.",
        layouts=(
            Change(
                "blocks-as-four-rows",
                "data[:-TAIL].reshape(-1, block // 4)",
                "data[:-TAIL].reshape(M // 4, N)",
                I2_S,
            ),
        ),
    ),
)
