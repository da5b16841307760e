"""Record what transformers computes in float32 and bfloat16, for the precision ladder.

The built-in model and two of the recorded small ones read a few tokens in both
precisions. Kept is, in ``tests/golden/precision/NAME.npz``::

    ids                 (T,)       what was read
    float32, bfloat16   (L, T, D)  the tokens after each layer, bfloat16 by its bits
    tokens_...          (T,)       the most likely token after each

Run it from the root of the repository, in the environment that
``tools/record_transformers.py`` describes::

    python tools/record_precision.py

A processor with other instructions may add up in another order and change last bits.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from torch import nn

OUT = Path("tests/golden/precision")
STORIES = Path("minibitnet/stories")
TOKENS = 48  # of the built-in model, of a text that it wrote
SMALL = [Path("tests/recorded") / name for name in ("packed_tied", "packed_untied")]


def take_ids(directory: Path) -> np.ndarray[Any, Any]:
    if directory != STORIES:
        with np.load(directory / "recorded.npz") as recorded:
            return recorded["ids"]
    model = load(directory, torch.float32)
    begin = json.loads((STORIES / "fingerprint.json").read_text())["ids"]
    with torch.no_grad():
        return model.generate(
            torch.tensor([begin]), max_length=TOKENS, do_sample=False
        )[0].numpy()


def load(directory: Path, dtype: torch.dtype) -> nn.Module:
    model = transformers.AutoModelForCausalLM.from_pretrained(
        directory, dtype=dtype, attn_implementation="eager"
    )
    if dtype is torch.float32:  # the norms may be left in bfloat16: widened exactly
        nn.Module.float(model)
    kinds = {parameter.dtype for parameter in model.parameters()}
    assert kinds == {dtype}, kinds
    return model


def read(
    directory: Path, ids: np.ndarray[Any, Any], dtype: torch.dtype
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """The tokens after each layer, and the most likely token after each position."""
    model, hidden = load(directory, dtype), []
    for block in model.model.layers:
        block.register_forward_hook(lambda *call: hidden.append(call[-1][0]))
    with torch.no_grad():
        logits = model(torch.from_numpy(ids)[None], use_cache=False).logits[0]
    assert logits.dtype is dtype
    stacked = torch.stack(hidden)
    bits = stacked.view(torch.uint16) if dtype is torch.bfloat16 else stacked
    return bits.numpy(), logits.float().argmax(dim=1).numpy()


def main() -> None:
    torch.set_num_threads(1)  # one order of addition
    torch.compiler.set_stance("force_eager")  # ActQuant asks for a C++ compiler
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    OUT.mkdir(exist_ok=True)
    for directory in (STORIES, *SMALL):
        arrays = {"ids": take_ids(directory)}
        for name in ("float32", "bfloat16"):
            found = read(directory, arrays["ids"], getattr(torch, name))
            arrays[name], arrays[f"tokens_{name}"] = found
        file = OUT / f"{directory.name}.npz"
        np.savez_compressed(file, **arrays)
        print(f"{file}: {len(arrays['ids'])} tokens, {file.stat().st_size} bytes")


if __name__ == "__main__":
    main()
