"""Record what Hugging Face transformers computes, for tests/test_transformers.py.

It draws small random checkpoints of awkward sizes, has transformers load each and read
a few token ids, and keeps a directory of the checkpoint (``config.json``,
``model.safetensors``) and ``recorded.npz``, which holds::

    ids      (T,)       what was read
    hidden   (L, T, D)  the tokens after each layer: the stages ffn_residual
    logits   (T, V)

All is computed in float32 on the CPU. Before anything is kept, it is checked that
every tensor was taken, that all matrices of the layers went the ternary way and nothing
else did, and that the model is alive.

Run it from the root of the repository, in an environment of its own (Python 3.11)::

    pip install torch==2.13.0
    pip install transformers==5.23.0 accelerate==1.15.0 numpy==2.4.6 safetensors==0.8.0
    python tools/record_transformers.py [directory]

On one machine the same bytes come out each time. Another machine's BLAS may add up in
another order, which changes last bits.
"""

import itertools
import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import transformers
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers.integrations.bitnet import (
    AutoBitLinear,
    BitLinear,
    WeightQuant,
    pack_weights,
    unpack_weights,
)

GOLDEN = Path("tests/recorded")
VERSIONS = {"torch": "2.13.0", "transformers": "5.23.0"}

# quantization_config. Of those in the wild that divide, most name no linear_class.
PACKED = {"linear_class": "autobitlinear", "quantization_mode": "offline"}
MASTER = {"linear_class": "autobitlinear", "quantization_mode": "online"}
DIVIDES = {"linear_class": "bitlinear"}
UNSAID = {"modules_to_not_convert": None}

# transformers multiplies dequantized float32 and adds up in another order. So its
# activations, before they are rounded to codes, differ from those after exact integers:
# by some 5e-5 of a step, rarely more. One as near as that to the middle of a step may
# be rounded up here and down there, and some logit then differs by a thousandth or a
# hundredth: no defect, but nothing to compare with. (Of 320 checkpoints drawn without
# this care 25 had such a tie; the first code to differ was within 1e-4 of one each
# time. The other 295 agreed to 1e-6.) So a case takes the first seed whose activations,
# and the weights of a master, all keep away from ties.
ACTIVATION_MARGIN = 2e-4  # of a step
WEIGHT_MARGIN = 1e-5  # of the scale
ARGMAX_MARGIN = 1e-3  # of the largest logit, between the two most likely tokens

# How large things are drawn. The embedding is small, so that eps counts; the gains keep
# scores where softmax is neither even nor all or nothing, gates where SiLU bends, and
# what a layer adds comparable with what it is added to.
EMBEDDING_SIZE = 0.1
GAIN_SIZES = {
    "input_layernorm.weight": 0.15,
    "post_attention_layernorm.weight": 0.15,
    "sub_norm.weight": 0.03,
    "model.norm.weight": 1.0,
}
SCALES = (0.5, 2.0)


class Case(NamedTuple):
    """A checkpoint and how much of a text it reads."""

    quantization: dict[str, Any]
    tokens: int
    config: dict[str, Any]


def sizes(
    D: int, H: int, G: int, F: int, V: int, L: int, **more: Any
) -> dict[str, Any]:
    """A config.json of these sizes."""
    return {
        "hidden_size": D,
        "num_attention_heads": H,
        "num_key_value_heads": G,
        "intermediate_size": F,
        "vocab_size": V,
        "num_hidden_layers": L,
        "max_position_embeddings": 64,
        "bos_token_id": 0,
        "eos_token_id": 1,
        **more,
    }


BITNET = {
    "architectures": ["BitNetForCausalLM"],
    "model_type": "bitnet",
    "hidden_act": "relu2",
}
LLAMA = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_act": "silu",
}

CASES = {
    # 5 query heads a key head of 6; the keys of config.json that 2B4T has
    "packed_tied": Case(
        PACKED,
        40,
        BITNET
        | sizes(D=60, H=10, G=2, F=148, V=101, L=2)
        | {"rope_theta": 500000.0, "rms_norm_eps": 1e-5, "tie_word_embeddings": True},
    ),
    # 4 query heads a key head of 10; a head apart from the embedding
    "packed_untied": Case(
        PACKED,
        17,
        BITNET
        | sizes(D=80, H=8, G=2, F=92, V=67, L=3)
        | {"rope_theta": 10000.0, "rms_norm_eps": 1e-6, "tie_word_embeddings": False},
    ),
    # eps left to the default of the model type; a key head for each query head
    "packed_one_token": Case(
        PACKED,
        1,
        BITNET
        | sizes(D=60, H=3, G=3, F=76, V=37, L=2)
        | {"rope_theta": 10000.0, "tie_word_embeddings": True},
    ),
    # the scale divides; theta stands where transformers 5 writes it
    "packed_divides": Case(
        DIVIDES,
        12,
        BITNET
        | sizes(D=36, H=6, G=2, F=52, V=45, L=2)
        | {
            "rope_parameters": {"rope_type": "default", "rope_theta": 300.0},
            "rms_norm_eps": 1e-3,
            "tie_word_embeddings": True,
        },
    ),
    # 2 query heads a key head; 30 rows in k_proj and v_proj, 95 in gate_proj
    "master_tied": Case(
        MASTER,
        23,
        BITNET
        | sizes(D=60, H=6, G=3, F=95, V=53, L=2)
        | {"rope_theta": 77.7, "rms_norm_eps": 1e-3, "tie_word_embeddings": True},
    ),
    # no matrix has a multiple of 4 rows; theta left to the default of the model type
    "master_untied": Case(
        MASTER,
        9,
        BITNET
        | sizes(D=30, H=5, G=1, F=43, V=29, L=3)
        | {"rms_norm_eps": 1e-6, "tie_word_embeddings": False},
    ),
    # the body of Llama, as in Falcon-E and HF1BitLLM; heads longer than D / H
    "llama_divides": Case(
        UNSAID,
        14,
        LLAMA
        | sizes(D=56, H=8, G=2, F=84, V=61, L=2, head_dim=10)
        | {"rope_theta": 1000042.0, "rms_norm_eps": 1e-5, "tie_word_embeddings": False},
    ),
    # the same, not packed yet; a key head for each query head
    "llama_master": Case(
        MASTER,
        11,
        LLAMA
        | sizes(D=42, H=7, G=7, F=65, V=47, L=2)
        | {"rope_theta": 10000.0, "rms_norm_eps": 1e-6, "tie_word_embeddings": True},
    ),
}


def write_checkpoint(directory: Path, case: Case, rng: np.random.Generator) -> None:
    """A random checkpoint with the tensors that transformers asks for."""
    quantization = {"quant_method": "bitnet", **case.quantization}
    content = case.config | {"quantization_config": quantization, "dtype": "bfloat16"}
    text = json.dumps(content, indent=2) + "\n"
    (directory / "config.json").write_text(text, newline="\n")
    config = transformers.AutoConfig.from_pretrained(directory)
    with torch.device("meta"):
        model = model_class(case)(config)
    tensors = {}
    for name, parameter in model.named_parameters():  # a tied head is not among them
        tensors |= draw(name, tuple(parameter.shape), case, rng)
    save_file(tensors, directory / "model.safetensors", metadata={"format": "pt"})


def model_class(case: Case) -> type[transformers.PreTrainedModel]:
    return getattr(transformers, case.config["architectures"][0])


def draw(
    name: str, shape: tuple[int, ...], case: Case, rng: np.random.Generator
) -> dict[str, Tensor]:
    """The tensor of a name, with its scale if it has one."""
    if "norm" in name:
        [size] = (size for end, size in GAIN_SIZES.items() if name.endswith(end))
        return {name: bfloat16(size * rng.uniform(0.1, 2, shape))}
    if "_proj" not in name:
        return {name: bfloat16(EMBEDDING_SIZE * rng.standard_normal(shape))}
    scale = rng.uniform(*SCALES)
    if case.quantization is MASTER:
        return {name: bfloat16(scale * rng.standard_normal(shape))}
    codes = rng.choice([-1, 0, 1], shape, p=[0.3, 0.42, 0.28])
    packed = pack_weights(torch.from_numpy(codes.astype(np.float32)))
    return {name: packed, f"{name}_scale": bfloat16(np.array([scale]))}


def bfloat16(values: np.ndarray) -> Tensor:
    return torch.from_numpy(values.astype(np.float32)).bfloat16()


def load(directory: Path, case: Case) -> nn.Module:
    """The model as transformers loads it, seen to be what it should be."""
    model, report = model_class(case).from_pretrained(
        directory,
        dtype=torch.float32,
        attn_implementation="eager",
        output_loading_info=True,
    )
    assert not any(report.values()), report
    # For offline AutoBitLinear the dtype asked for reaches the matrices only; what is
    # left in bfloat16 is widened exactly.
    nn.Module.float(model)  # the model's own float() refuses, being quantized
    for name, tensor in itertools.chain(
        model.named_parameters(), model.named_buffers()
    ):
        assert tensor.device.type == "cpu", name
        assert tensor.dtype in (torch.float32, torch.uint8), name
    assert type(model.lm_head) is nn.Linear
    assert len(ternary_layers(model)) == 7 * case.config["num_hidden_layers"]
    for name, layer in ternary_layers(model).items():
        check_ternary(name, layer, case)
    return model


def ternary_layers(model: nn.Module) -> dict[str, nn.Module]:
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, (AutoBitLinear, BitLinear))
    }


def check_ternary(name: str, layer: nn.Module, case: Case) -> None:
    """See that a matrix is ternary in the way of its case."""
    if case.quantization in (DIVIDES, UNSAID):
        assert type(layer) is BitLinear, name
        assert layer.weight.dtype is torch.uint8, name
        assert layer.dtype is torch.float32, name
        weight = unpack_weights(layer.weight, torch.float32)
    else:
        assert type(layer) is AutoBitLinear, name
        assert layer.online_quant == (case.quantization is MASTER), name
        weight = WeightQuant.apply(layer.weight) if layer.online_quant else layer.weight
    assert weight.shape == (layer.out_features, layer.in_features), name
    step = weight.max()
    assert set((weight / step).unique().tolist()) == {-1.0, 0.0, 1.0}, name
    if case.quantization is not MASTER:
        assert step == 1, name
        assert SCALES[0] <= layer.weight_scale.item() <= SCALES[1], name


class Watch:
    """What passes through a model while it reads."""

    def __init__(self, model: nn.Module) -> None:
        self.hidden: list[Tensor] = []
        self.gates: list[Tensor] = []
        self.doubt = 0.5  # how near the nearest activation came to a tie
        for layer in ternary_layers(model).values():
            layer.register_forward_pre_hook(self.see_input)
        for block in model.model.layers:
            block.register_forward_hook(lambda *call: self.hidden.append(call[-1][0]))
            block.mlp.gate_proj.register_forward_hook(
                lambda *call: self.gates.append(call[-1])
            )

    def see_input(self, layer: nn.Module, inputs: tuple[Tensor]) -> None:
        """How near the input of a ternary matrix comes to a tie."""
        [x] = inputs
        assert x.dtype is torch.float32
        steps = x * (127 / x.abs().amax(dim=-1, keepdim=True).clamp(min=1e-5))
        self.doubt = min(self.doubt, (steps % 1 - 0.5).abs().min().item())


def read(model: nn.Module, ids: np.ndarray) -> tuple[dict[str, np.ndarray], bool]:
    """What the model computes from the ids, and whether that is fit for comparison."""
    watch = Watch(model)
    with torch.no_grad():
        logits = model(torch.from_numpy(ids)[None], use_cache=False).logits[0]
    assert logits.dtype is torch.float32
    open_gates = (torch.stack(watch.gates) > 0).float().mean()
    assert 0.2 < open_gates < 0.8, open_gates
    (first, second), (likely, _) = logits.topk(2).values.T, logits.topk(2).indices.T
    fit = (
        watch.doubt > ACTIVATION_MARGIN
        and weight_doubt(model) > WEIGHT_MARGIN
        and (first - second).min() > ARGMAX_MARGIN * logits.abs().max()
        and len(likely.unique()) > len(ids) / 4  # it does not say the same always
    )
    hidden = torch.stack(watch.hidden).numpy()
    return {"ids": ids, "hidden": hidden, "logits": logits.numpy()}, bool(fit)


def weight_doubt(model: nn.Module) -> float:
    """How near the nearest weight of the masters comes to a tie."""
    layers = ternary_layers(model).values()
    masters = [y.weight.abs() for y in layers if getattr(y, "online_quant", False)]
    return min(((w / w.mean() - 0.5).abs().min().item() for w in masters), default=0.5)


def record(directory: Path, case: Case) -> int:
    """Write a case, drawn from the first seed that is fit for comparison."""
    for seed in itertools.count():
        rng = np.random.default_rng(seed)
        with tempfile.TemporaryDirectory() as draft:
            write_checkpoint(Path(draft), case, rng)
            ids = rng.integers(0, case.config["vocab_size"], case.tokens)
            arrays, fit = read(load(Path(draft), case), ids)
            if fit:
                np.savez(Path(draft, "recorded.npz"), **arrays)
                directory.mkdir(parents=True, exist_ok=True)
                for file in Path(draft).iterdir():
                    shutil.copyfile(file, directory / file.name)
                return seed


def main() -> None:
    golden = Path(sys.argv[1]) if sys.argv[1:] else GOLDEN
    for module in (torch, transformers):
        found = module.__version__.partition("+")[0]
        expected = VERSIONS[module.__name__]
        assert found == expected, (
            f"expected {module.__name__} {expected}, found {found}"
        )
    torch.set_num_threads(1)  # one order of addition
    torch.compiler.set_stance("force_eager")  # BitLinear asks for a C++ compiler
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    for name, case in CASES.items():
        seed = record(golden / name, case)
        size = sum(file.stat().st_size for file in (golden / name).iterdir())
        print(f"{name}: seed {seed}, {size} bytes")


if __name__ == "__main__":
    main()
