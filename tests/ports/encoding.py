"""Texts as test vectors, so that a port can be asked for their ids."""

import json
import unicodedata

from hypothesis import strategies as st

from minibitnet.stories import BUILT_IN

# What Unicode got lately is one thing to one library, and another to the other.
KNOWN = st.characters(exclude_categories=["Cn", "Cs"]).filter(
    lambda character: unicodedata.ucd_3_2_0.category(character) != "Cn"
)
HARD = "aeſ'sStTlLvVrRmMdD 01\u0085\u00a0\ufeff\u3000\x00\x1c\t\r\n<|>_.é\u0301𝒜Ⅷ"
SPELLED = ["<|eot_id|>", "<|begin_of_text|>", "<|eot_id", "'ll", "'Re", " the", "\r\n"]
TEXTS = (
    st.text(KNOWN, max_size=30)
    | st.text(HARD, max_size=30)
    | st.lists(st.sampled_from(SPELLED) | st.text(HARD, max_size=3), max_size=9).map(
        "".join
    )
)


def ask(place, operation, inputs, model=BUILT_IN, **parameters):
    """Write a set in which each of these texts is asked for its ids."""
    name = "text" if operation == "encode" else "messages"
    vectors = []
    for i, text in enumerate(inputs):
        raw = text.encode()
        (place / f"{i}.text").write_bytes(raw)
        entry = {"dtype": "uint8", "shape": [len(raw)], "file": f"{i}.text"}
        vectors.append(
            {
                "operation": operation,
                "parameters": {"model": "model", **parameters},
                "inputs": {name: entry},
                "outputs": {"ids": {"file": f"{i}.ids"}},
            }
        )
    manifest = {"format": "minibitnet-vectors", "contract": 2, "vectors": vectors}
    (place / "manifest.json").write_text(json.dumps(manifest))
    (place / "model").symlink_to(model)
