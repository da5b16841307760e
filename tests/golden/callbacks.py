"""Prints arrays as llama.cpp's eval-callback does."""

import numpy as np

NODES = {  # the stages that the graph of Microsoft's fork names, and the operation
    "attn_norm": ("attn_norm", "MUL"),
    "q": ("Qcur", "MUL_MAT"),
    "k": ("Kcur", "MUL_MAT"),
    "v": ("Vcur", "MUL_MAT"),
    "q.rope": ("Qcur", "ROPE"),
    "k.rope": ("Kcur", "ROPE"),
    "attn": ("kqv_out", "CONT"),
    "attn_sub_norm": ("attn_sub_norm", "MUL"),
    "o": ("attn_o_out", "MUL_MAT"),
    "attn_residual": ("ffn_inp", "ADD"),
    "ffn_norm": ("ffn_norm", "MUL"),
    "gate": ("ffn_gate", "MUL_MAT"),
    "up": ("ffn_up", "MUL_MAT"),
    "relu2_gate": ("ffn_out", "MUL"),
    "ffn_sub_norm": ("ffn_sub_norm", "MUL"),
    "down": ("ffn_down", "MUL_MAT"),
    "ffn_residual": ("l_out", "ADD"),
}
AROUND = {
    "embed": ("inp_embd", "GET_ROWS"),
    "final_norm": ("result_norm", "MUL"),
    "logits": ("result_output", "MUL_MAT"),
}


def node_of(stage):
    """The name of a node, and its operation; None where the graph has none."""
    if stage in AROUND:
        return AROUND[stage]
    _, layer, name = stage.split(".", 2)
    if name not in NODES:
        return None
    node, operation = NODES[name]
    return f"{node}-{layer}", operation


def print_graph(stages, prefix="ggml_debug"):
    """All stages that are nodes, and some nodes that are no stages."""
    blocks = []
    for stage, array in stages.items():
        if found := node_of(stage):
            blocks.append(print_node(*found, array, prefix))
            other = ("norm-0", "Qcur-0 (view)", "node_31")[len(blocks) % 3]
            blocks.append(print_node(other, "VIEW", array[..., :2], prefix))
    return "".join(blocks)


def print_node(node, operation, array, prefix="ggml_debug"):
    array = array.reshape((1,) * (4 - array.ndim) + array.shape)
    shape = ", ".join(map(str, array.shape[::-1]))
    source = f"{operation}(src-0{{{shape}}}, blk.0.weight{{{shape}}}}})"
    lines = [f"{prefix}: {node:>24} = (f32) {source:>40} = {{{shape}}}"]
    for volume in array:
        lines += [" " * 37 + "[", *print_ends(volume, print_plane, 38), " " * 37 + "]"]
        lines.append(" " * 37 + f"sum = {array.sum():f}")
    return "\n".join(lines) + "\n"


def print_plane(plane):
    return [" " * 38 + "[", *print_ends(plane, print_row, 39), " " * 38 + "],"]


def print_row(row):
    numbers = print_ends(row, lambda number: [f"{number:12.4f}"], None)
    return [" " * 39 + "[" + ", ".join(numbers) + "],"]


def print_ends(items, form, indent):
    """The first three and the last three; all if they are six."""
    printed = [line for item in items[:3] for line in form(item)]
    if len(items) <= 6:
        return printed + [line for item in items[3:] for line in form(item)]
    gap = "..." if indent is None else " " * indent + "..., "
    return [*printed, gap, *(line for item in items[-3:] for line in form(item))]


def as_dumped(stages):
    """What llama.cpp has: of the last layer only the last token goes on."""
    last = max(name for name in stages if name.startswith("layers."))
    last = last.split(".")[1]
    names = [*stages]
    cut = names.index(f"layers.{last}.attn_sub_norm")
    return {
        name: np.asarray(array)[-1:] if names.index(name) >= cut else array
        for name, array in stages.items()
    }
