"""Damaged checkpoints by the thousand: each loads as what it says, or is refused.

A few small checkpoints, of every kind that can be loaded, are changed at random in one
to three places: bytes of a file (turned, lost, doubled, cut off), values, names and
structure of what is JSON or GGUF, the arrays themselves. Then each is loaded and used::

    python tools/mutate_files.py                100,000 cases, a table
    python tools/mutate_files.py --cases 2000   fewer
    python tools/mutate_files.py --case 4711    one of them, told at length

What may come out:

equal
    the same logits, tokens and text: what was changed has no meaning
as the file says
    other logits, and `minibitnet.one_page`, which shares no code with the loader, reads
    the same ones from the changed files, bit for bit (or parts from them only where
    attention's scores are above 2**53, by a weight of 1e38); or other tokens of a text,
    and
    the tokenizers library and `minibitnet.bpe` agree on them
refused
    one line that names the file or the key, without control characters

All else is a fault: another exception, a warning of NumPy's, too long a message,
numbers on which the two disagree, more memory or time than the files are worth. Their
number must be zero. The cases are the same on every machine.
"""

import argparse
import contextlib
import io
import json
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import warnings
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, process
from copy import deepcopy
from functools import cache
from pathlib import Path

import numpy as np
from damaged_gguf import change_gguf, for_the_page, plain_bpe
from tqdm import tqdm

import minibitnet as mb
from minibitnet import one_page
from minibitnet.bpe import BPE
from minibitnet.checkpoint.convert import convert
from minibitnet.checkpoint.synth import write_checkpoint
from minibitnet.files.published import CONFIG
from minibitnet.text.tokenizerfile import read_bpe
from minibitnet.tokenizer import Tokenizer
from minibitnet.training.vocabulary import save_vocabulary, train_vocabulary

MEMORY = 3 * 2**30  # bytes of address space; NumPy and BLAS alone take one of them
SECONDS = 20  # for one case; the usual one takes 0.01
LONGEST = 600  # characters of an error
BATCH = 250  # cases that a process does at once
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
IDS = [262, 72, 5, 101, 33, 7]
TEXTS = ("the cat, the hat <|eot_id|> 1234", "  naïve\n\n日本 🎉 ", "")
TALK = [{"role": "user", "content": " hi there "}]

SMALL = CONFIG | {
    "hidden_size": 24,
    "intermediate_size": 36,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 264,
    "max_position_embeddings": 32,
    "bos_token_id": 261,
    "eos_token_id": 262,
}
LLAMA = SMALL | {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_act": "silu",
    "tie_word_embeddings": False,
    "quantization_config": {"quant_method": "bitnet", "linear_class": "bitlinear"},
}
# The least that has whole blocks of 256 weights
WIDE = SMALL | {
    "hidden_size": 256,
    "intermediate_size": 256,
    "num_hidden_layers": 1,
}
GGUF, GGUF_FORMS = "model.gguf", ("i2_s", "tq1_0", "tq2_0")
# What a missing key means where it is not what `one_page` takes for it
DEFAULTS = {
    "llama": {"rope_theta": 10_000.0, "rms_norm_eps": 1e-6, "hidden_act": "silu"},
    "bitnet": {"rope_theta": 500_000.0, "rms_norm_eps": 1e-5, "hidden_act": "relu2"},
}


class FaultError(Exception):
    """Something that must not happen."""


class Endless(BaseException):
    """The time of a case is up. No `except Exception` shall catch it."""


# The checkpoints that are changed


def make_originals(directory):
    """Packed, in shards, masters, and one with Llama's ways; a tokenizer each."""
    inner = train_vocabulary(
        ["the cat sat on the hat, hi there"] * 9, SMALL["vocab_size"]
    )
    for name, content in (("packed", SMALL), ("shards", SMALL), ("llama", LLAMA)):
        write_checkpoint(directory / name, content, seed=3)
        save_vocabulary(inner, directory / name)
        generation = {"eos_token_id": [260, 262], "temperature": 0.6}
        (directory / name / "generation_config.json").write_text(json.dumps(generation))
    cut_into_shards(directory / "shards")
    for form in GGUF_FORMS:
        wide = write_checkpoint(directory / f"wide_{form}", WIDE, seed=3)
        save_vocabulary(inner, wide)
        (directory / form).mkdir()
        convert(wide, directory / form / GGUF, form)
        shutil.rmtree(wide)
    shutil.copytree(directory / "packed", directory / "masters")
    make_masters(directory / "masters")


def read_safetensors(file):
    """The header and the bytes of a sound file."""
    data = file.read_bytes()
    size = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + size]), bytearray(data[8 + size :])


def write_safetensors(file, header, body):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    file.write_bytes(len(text).to_bytes(8, "little") + text + bytes(body))


def collect(tensors):
    """Header and bytes of arrays: name -> (dtype, shape, bytes)."""
    header, body = {}, bytearray()
    for name, (dtype, shape, data) in tensors.items():
        offsets = [len(body), len(body) + len(data)]
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": offsets}
        body += data
    return header, body


def tensors_of(file):
    header, body = read_safetensors(file)
    header.pop("__metadata__", None)
    return {
        name: (entry["dtype"], entry["shape"], body[slice(*entry["data_offsets"])])
        for name, entry in header.items()
    }


def cut_into_shards(directory):
    tensors = tensors_of(directory / WEIGHTS)
    (directory / WEIGHTS).unlink()
    names, places = sorted(tensors), {}
    for n, part in enumerate((names[::2], names[1::2]), 1):
        file = f"model-{n:05}-of-00002.safetensors"
        write_safetensors(directory / file, *collect({k: tensors[k] for k in part}))
        places |= dict.fromkeys(part, file)
    index = {"metadata": {"total_size": 0}, "weight_map": places}
    (directory / INDEX).write_text(json.dumps(index))


def make_masters(directory):
    """Every packed matrix becomes float32 numbers, every scale goes."""
    rng = np.random.default_rng(5)
    tensors = {}
    for name, (dtype, shape, data) in tensors_of(directory / WEIGHTS).items():
        if dtype == "U8":
            M = {"k_proj": 12, "v_proj": 12}.get(name.split(".")[-2], 4 * shape[0])
            master = 0.1 * rng.standard_normal((M, shape[1]), np.float32)
            tensors[name] = "F32", [*master.shape], master.tobytes()
        elif not name.endswith("_scale"):
            tensors[name] = dtype, shape, data
    write_safetensors(directory / WEIGHTS, *collect(tensors))


# What is changed. `r` is a random.Random: the same numbers on every machine.

STRINGS = (
    "",
    "\x1b[2J\x9b31m\r\n",
    "../x",
    "a/b",
    "NaN",
    "é" * 300,
    "\ud800",
    "lm_head",
)
NUMBERS = (0, 1, -1, 2, 3, 7, 255, 2**31, 2**63, 10**20, 10**400)
REALS = (0.5, -0.0, 1e-300, 1e300, 1e-9, float("nan"), float("inf"), -float("inf"))
OTHERS = (None, True, False, [], {}, [[]], [0], {"a": 1}, [None] * 70)
KEYS = (  # that mean something somewhere
    "rope_scaling", "sliding_window", "attention_bias", "head_dim", "lm_head.weight",
    "num_experts", "quantization", "logit_scale", "__metadata__", "weight_map",
)  # fmt: skip


def odd_value(r, old=None):
    """Something else in place of a value of JSON."""
    if type(old) in (int, float) and abs(old) < 2**63 and r.random() < 0.5:
        return r.choice(
            (old + 1, old - 1, old * 2, -old, old // 2, float(old), str(old))
        )
    if isinstance(old, str) and old and r.random() < 0.5:
        at = r.randrange(len(old))
        return r.choice(
            (old[:at], old[at:], old + old, old.upper(), old[:at] + "x" + old[at:])
        )
    return deepcopy(r.choice(r.choice((STRINGS, NUMBERS, REALS, OTHERS))))


def nodes(tree):
    """Every (container, key) in what is JSON; deep ones too."""
    stack, found = [tree], []
    while stack:
        node = stack.pop()
        items = node.items() if isinstance(node, dict) else enumerate(node)
        for key, value in items:
            found.append((node, key))
            if isinstance(value, dict | list):
                stack.append(value)
    return found


def change_tree(r, tree):
    """One change of a JSON tree, in place; what was done."""
    found = nodes(tree)
    if not found:
        return "nothing to change"
    if len(found) > 300 and r.random() < 0.8:  # a vocabulary would be all one sees
        found = [pair for pair in found if len(pair[0]) < 60] or found
    node, key = r.choice(found)
    how = r.randrange(6)
    if how == 0:
        del node[key]
        return f"deleted {key!r}"
    if how == 1 and isinstance(node, dict):
        new = r.choice((r.choice(KEYS), f"{key}x", str(key).upper(), *STRINGS))
        node[new] = node[key] if r.random() < 0.5 else odd_value(r)
        return f"added {new!r}"
    if how == 2:
        other, there = r.choice(found)
        if there in (other if isinstance(other, dict) else range(len(other))):
            node[key], other[there] = deepcopy(other[there]), deepcopy(node[key])
        return f"exchanged {key!r} and {there!r}"
    if how == 3 and isinstance(node, list):
        node.insert(r.randrange(len(node) + 1), deepcopy(r.choice(node)))
        return "doubled an entry"
    new = odd_value(r, node[key])
    what, node[key] = f"{key!r}: {node[key]!r:.60} became {new!r:.60}", new
    return what


def change_bytes(r, data):
    """One change of a file's bytes, in place; what was done."""
    if not data:
        return "nothing to change"
    at, how = r.randrange(len(data)), r.randrange(7)
    if r.random() < 0.5:
        at = min(at, r.randrange(4000))  # headers lie in front
    if how == 0:
        data[at] ^= 1 << r.randrange(8)
    elif how == 1:
        data[at] = r.randrange(256)
    elif how == 2:
        del data[at:]
    elif how == 3:
        del data[at : at + r.randrange(1, 40)]
    elif how == 4:
        data[at:at] = data[at : at + r.randrange(1, 40)]
    elif how == 5:
        data += bytes(r.randrange(256) for _ in range(r.randrange(1, 40)))
    else:
        data[at:at] = r.choice(
            (b'"', b"{", b"[" * 3000, b"\0", b",", b"\xff", b"9" * 30)
        )
    return f"bytes, way {how}, at {at}"


def change_array(r, header, body):
    """Numbers of one array, in place: any of its dtype, odd ones too."""
    names = [
        n for n, e in header.items() if n != "__metadata__" and e["dtype"] in SIZES
    ]
    if not names:
        return "no arrays"
    name = r.choice(names)
    size, start, end = SIZES[header[name]["dtype"]], *header[name]["data_offsets"]
    value = r.choice(ODD_BITS[size]) if r.random() < 0.7 else r.randrange(256**size)
    count = max(1, (end - start) // size)
    at = start + size * r.randrange(count)
    last = end if r.random() < 0.2 else at + size
    body[at:last] = value.to_bytes(size, "little") * ((last - at) // size)
    return f"{name}: {value:#x} from byte {at} to {last}"


SIZES = {"U8": 1, "BF16": 2, "F16": 2, "F32": 4}
ODD_BITS = {  # codes 3; zero, the largest, the smallest, infinite, not a number
    1: (0xFF, 0x03, 0x00, 0x55, 0xC0),
    2: (0x0000, 0x8000, 0x7F7F, 0xFF7F, 0x0001, 0x7F80, 0x7FC0, 0x0080, 0x4000),
    4: (0, 0x80000000, 0x7F7FFFFF, 1, 0x7F800000, 0x7FC00000, 0x00800000, 0x40000000),
}


def change_tensors(r, file):
    """One change of a safetensors file: header, an entry, arrays; what was done."""
    try:
        header, body = read_safetensors(file)
        assert all(
            isinstance(e, dict) and len(e["data_offsets"]) == 2 for e in header.values()
        )
        how = r.randrange(6)
        if how == 0:
            what = change_array(r, header, body)
        elif how == 1:  # a whole array, its place exchanged with another's
            one, other = r.choice(list(header)), r.choice(list(header))
            key = r.choice(("dtype", "shape", "data_offsets", None))
            if key is None:
                header[one], header[other] = header[other], header[one]
            else:
                header[one][key], header[other][key] = (
                    header[other][key],
                    header[one][key],
                )
            what = f"{one} and {other}: {key or 'all'} exchanged"
        elif how == 2:
            entry = header[name := r.choice(list(header))]
            shape = r.choice(
                (
                    entry["shape"][::-1],
                    [*entry["shape"], 1],
                    [0, 2**62],
                    [1] * 70,
                    [2**40, 2**40],
                )
            )
            what, entry["shape"] = f"{name}: shape {shape!r:.60}", shape
        elif how == 3:
            name = r.choice(list(header))
            text = json.dumps(header)[:-1] + f', "{name}": {json.dumps(header[name])}}}'
            write_safetensors(file, text.encode(), body)
            return f"{name} twice"
        else:
            what = change_tree(r, header)
        write_safetensors(file, header, body)
        return what
    except (
        ValueError,
        KeyError,
        TypeError,
        AssertionError,
        AttributeError,
        IndexError,
        RecursionError,
    ):
        return change_file_bytes(r, file)  # it is damaged already


def change_gguf_file(r, file):
    return change_gguf(r, file) or change_file_bytes(r, file)


def change_json(r, file):
    try:
        tree = json.loads(file.read_text())
        what = change_tree(r, tree)
        file.write_text(json.dumps(tree, ensure_ascii=r.random() < 0.9))
        return what
    except (ValueError, TypeError, AttributeError, RecursionError):
        return change_file_bytes(r, file)


def change_file_bytes(r, file):
    data = bytearray(file.read_bytes())
    what = change_bytes(r, data)
    file.write_bytes(data)
    return what


def change(r, directory, kind):
    """Damage one file of a checkpoint; what was done."""
    files = {
        "safetensors": sorted(directory.glob("*.safetensors")),
        "index": [directory / INDEX],
        "GGUF": [directory / GGUF],
        "tokenizer.json": [directory / "tokenizer.json"],
        "config.json": [directory / "config.json"],
        "other JSON": [
            directory / "tokenizer_config.json",
            directory / "generation_config.json",
        ],
    }[kind]
    file = r.choice(files)
    if not file.is_file():
        return "nothing left"
    if r.random() < 0.25:
        return f"{file.name}: {change_file_bytes(r, file)}"
    ways = {"safetensors": change_tensors, "GGUF": change_gguf_file}
    return f"{file.name}: {ways.get(kind, change_json)(r, file)}"


KINDS = ("safetensors", "safetensors", "safetensors", "config.json", "config.json",
         "tokenizer.json", "index", "other JSON", "GGUF", "GGUF", "GGUF",
         "GGUF")  # fmt: skip


# What comes out


def words_of(tokenizer):
    """What a tokenizer makes of some texts, or how it refuses them."""
    if tokenizer is None:
        return None
    found = []
    for text in TEXTS:
        ids = tokenizer.encode(text)
        found.append((ids, tokenizer.decode(ids), "".join(tokenizer.stream(ids))))
        if found[-1][1] != found[-1][2]:
            raise FaultError(f"decode {found[-1][1]!r} but stream {found[-1][2]!r}")
    return found


def talk_of(tokenizer):
    return None if tokenizer is None else tokenizer.chat(TALK)


def page_logits(directory, trace=None):
    """The same by the page, which knows nothing of the package."""
    if (directory / GGUF).exists():
        config, weights = for_the_page(directory / GGUF)
        with np.errstate(all="ignore"):
            return one_page.forward(config, weights, IDS, [], trace)
    config, weights = one_page.load(directory)
    for key, value in DEFAULTS.get(config.get("model_type"), {}).items():
        if json.loads((directory / "config.json").read_text()).get(key) is None:
            config[key] = value
    with np.errstate(all="ignore"):
        return one_page.forward(config, weights, IDS, [], trace)


def is_beyond_float64(directory, model):
    """Whether the two part only at scores so large that float64 keeps no fraction.

    There the order of adding decides which token is attended to.
    """
    page = {}
    page_logits(directory, page)
    with mb.trace() as stages:
        mb.forward(model, IDS)
    exact = [name for name in stages if not name.endswith("attn_weights")]
    first = next(n for n in exact if stages[n].tobytes() != page[n].tobytes())
    layer, _, stage = first.rpartition(".")
    if stage != "attn":
        return False
    q, k = (np.abs(page[f"{layer}.{x}.rope"]).max().astype(float) for x in "qk")
    return q * k > 2**53


@cache
def expected(directory):
    """Logits, words, talk of a checkpoint that nobody has changed."""
    model, tokenizer = mb.load(directory, threads=1)
    logits = mb.forward(model, IDS)
    np.testing.assert_array_equal(logits, page_logits(directory))
    return logits, words_of(tokenizer), talk_of(tokenizer)


def check_message(error, directory):
    """One line, not endless, no control characters, and about these files."""
    text = str(error)
    if not text or len(text) - len(str(directory)) > LONGEST:
        raise FaultError(f"a message of {len(text)} characters: {text[:200]!r}")
    if not text.isprintable():
        raise FaultError(f"control characters in {text!r}")


def judge(directory, original):
    """The outcome of a changed checkpoint; raises FaultError."""
    logits, words, talk = expected(original)
    try:
        model, tokenizer = mb.load(directory, threads=1)
    except mb.CheckpointError as error:
        check_message(error, directory)
        return "refused", str(error)
    try:
        new_logits = mb.forward(model, IDS)
    except (ArithmeticError, ValueError) as error:
        # Numbers that do not stay finite; a context or a vocabulary made too small
        check_message(error, directory)
        return "refused", str(error)
    if not np.isfinite(new_logits).all():
        raise FaultError("logits that are no numbers")
    outcome = "equal", ""
    if new_logits.tobytes() != logits.tobytes():
        try:
            page = page_logits(directory)
        except Exception as error:
            raise FaultError(f"loaded, but the page cannot: {error!r}") from None
        outcome = "as the file says", "the page reads the same"
        if page.tobytes() != new_logits.tobytes():
            if not is_beyond_float64(directory, model):
                raise FaultError("loaded, but the page has other logits")
            outcome = "as the file says", "the same but for scores beyond float64"
    try:
        new_words = words_of(tokenizer)
    except ValueError as error:
        check_message(error, directory)
        return "refused", str(error)
    if new_words != words:
        if new_words is not None and not plain_agrees(directory, new_words):
            raise FaultError(f"other words: {new_words!r:.300}")
        outcome = "as the file says", "both tokenizers read the same"
    try:
        new_talk = talk_of(tokenizer)
    except ValueError as error:
        check_message(error, directory)
        return outcome if outcome[0] != "equal" else ("refused", str(error))
    if new_talk != talk and outcome[0] == "equal":
        outcome = "as the file says", "another chat template"
    return outcome


def plain_agrees(directory, words):
    """Whether `minibitnet.bpe` says the same, or refuses the tokenizer."""
    try:
        if (directory / GGUF).exists():
            inner = plain_bpe(directory / GGUF)
        else:
            inner = read_bpe(directory / "tokenizer.json")
    except (ValueError, KeyError):
        return True  # of a kind that only the library knows
    assert isinstance(inner, BPE)
    return words_of(Tokenizer(inner, None)) == words


DIRECTORIES = ("packed", "masters", "llama", "shards")


def run_case(number, originals, scratch):
    """Change a checkpoint and look what comes out: kind, outcome, what was done."""
    r = random.Random(number)
    kind = KINDS[number % len(KINDS)]
    names = {"index": ("shards",), "GGUF": GGUF_FORMS}.get(kind, DIRECTORIES)
    original = originals / r.choice(names)
    directory = scratch / f"case{number}"
    shutil.copytree(original, directory)
    done = []
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        for _ in range(r.choice((1, 1, 1, 2, 3))):
            done.append(change(r, directory, kind))
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("error", RuntimeWarning)
            outcome, why = judge(directory, original)
    except FaultError as fault:
        outcome, why = "anything else", str(fault)
    except Endless:
        outcome, why = "anything else", f"no end within {SECONDS} s"
    except BaseException as error:
        outcome, why = "anything else", f"{type(error).__name__}: {error}"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        shutil.rmtree(directory)
    return kind, outcome, f"{original.name}; {'; '.join(done)}; {why}"


def time_is_up(signum, frame):
    raise Endless


def prepare_process(originals):
    """A worker: little memory, and a first run that is not part of any case."""
    signal.signal(signal.SIGALRM, time_is_up)
    os.environ["RUST_BACKTRACE"] = "0"
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # where Rust prints its panics
    for directory in originals.iterdir():
        expected(directory)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


def run_batch(numbers, originals, scratch):
    return [(number, *run_case(number, originals, scratch)) for number in numbers]


def all_cases(count, originals, scratch, workers):
    """Every case; a process that dies is a fault of the batch it was at."""
    batches = [range(n, min(n + BATCH, count)) for n in range(0, count, BATCH)]
    with ProcessPoolExecutor(
        workers, initializer=prepare_process, initargs=(originals,)
    ) as pool:
        running = [
            pool.submit(run_batch, batch, originals, scratch) for batch in batches
        ]
        for batch, future in tqdm(
            list(zip(batches, running, strict=True)), unit="batch"
        ):
            try:
                yield from future.result()
            except process.BrokenProcessPool:
                yield batch[0], "any", "anything else", f"a process died in {batch}"
                return


def print_table(counts):
    outcomes = ("equal", "as the file says", "refused", "anything else")
    print("| changed |", " | ".join(outcomes), "| all |")
    print("|---" * (len(outcomes) + 2) + "|")
    for kind in dict.fromkeys(KINDS):
        row = [counts[kind, outcome] for outcome in outcomes]
        print(f"| {kind} |", " | ".join(f"{n:,}" for n in [*row, sum(row)]), "|")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cases", type=int, default=100_000, metavar="N")
    parser.add_argument("--case", type=int, metavar="NUMBER")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), metavar="N")
    args = parser.parse_args()
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory(dir=args.case is None and shm() or None) as name:
        originals, scratch = Path(name) / "originals", Path(name) / "cases"
        scratch.mkdir()
        make_originals(originals)
        if args.case is not None:
            signal.signal(signal.SIGALRM, time_is_up)
            print(*run_case(args.case, originals, scratch), sep="\n")
            return 0
        start, counts, faults = time.time(), Counter(), []
        for number, kind, outcome, told in all_cases(
            args.cases, originals, scratch, args.workers
        ):
            counts[kind, outcome] += 1
            if outcome == "anything else":
                faults.append(f"case {number} ({kind}): {told!r:.600}")
        print_table(counts)
        print(f"\n{args.cases:,} cases in {time.time() - start:.0f} s")
        print(*faults[:40], sep="\n")
        return 1 if faults else 0


def shm():
    """Memory in place of a disk, where there is some."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


if __name__ == "__main__":
    sys.exit(main())
