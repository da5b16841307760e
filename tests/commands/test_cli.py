import argparse
import importlib
import json
import os
import re
import shutil
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from process import POSIX, command
from test_tokenizer import directory as tokenizer_directory  # noqa: F401

import minibitnet as mb
from minibitnet import cli, startup
from minibitnet.cli import main
from minibitnet.commands import bench, doctor, download, options, streams
from minibitnet.commands.inspect import print_shares
from minibitnet.evaluation import costs
from minibitnet.files.published import CONFIG, HUB_ID
from minibitnet.files.tensorfile import read_tensors, spec_of, write_tensors
from minibitnet.golden.selftest import Check
from minibitnet.tokenizer import load_tokenizer


@pytest.fixture(scope="module")
def speaking(tmp_path_factory, tokenizer_directory):  # noqa: F811
    """A small random model with a tokenizer."""
    directory = tmp_path_factory.mktemp("speaking") / "model"
    known = load_tokenizer(tokenizer_directory).inner.library.get_vocab_size()
    sizes = ["--vocab-size", str(known), "--context", "64", "--hidden-size", "64"]
    main(["synth", str(directory), *sizes, "--tokenizer", str(tokenizer_directory)])
    return str(directory)


def run(capsys, *argv):
    status = main([str(word) for word in argv])
    out, err = capsys.readouterr()
    return status, out, err


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--ids", "1,x"], "--ids: expected whole numbers with commas"),
        (["--ids", "-1"], "--ids: expected whole numbers"),
        (["--ids", ""], "--ids: expected whole numbers"),
        (["--ids", "97"], "ids must be from 0 to 96, got 97"),
        (["--ids", "1 " * 65], "room for 64, got 65"),
        (["--ids", "1", "--kernel", "fast"], "--kernel: invalid choice: 'fast'"),
        (["--ids", "1", "--threads", "0"], "--threads: expected a whole number from 1"),
        (["--ids", "1", "--threads", "1.5"], "--threads: expected a whole"),
        (["--ids", "1", "--top-p", "2"], "--top-p: expected a number above 0"),
        (["--ids", "1", "--temperature", "nan"], "--temperature: expected a number of"),
        (["--ids", "1", "--temperature", "x"], "--temperature: expected a number"),
        (["--ids", "1", "--max-new-tokens", "-1"], "--max-new-tokens: expected"),
        (["--ids", "1", "--seed", "-1"], "--seed: expected a whole number from 0 to"),
        (["--ids", "1", "hello"], "not allowed with argument --ids"),
        (["hello"], "text needs a tokenizer"),
        (
            [],
            "arguments TEXT --file --ids is required (see minibitnet generate --help)",
        ),
    ],
)
def test_a_users_mistake_is_one_line_and_status_2(capsys, checkpoint, words, complaint):
    status, out, err = run(capsys, "generate", *words, "--model", checkpoint)
    assert (status, out) == (2, "")
    assert err.startswith("minibitnet: ")
    assert complaint in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["bench", "--rounds", "0"], "--rounds: expected a whole number from 1 to"),
        (
            ["bench", "--threads", "2,0"],
            "--threads: expected a whole number from 1 to 1024",
        ),
        (["bench", "--threads", ""], "--threads: expected a whole number"),
        (["bench", "--prefill", "16,-1"], "--prefill: expected a whole number"),
        (["bench", "--decode", "16,,2"], "--decode: expected a whole number"),
        (["bench", "--ways", "auto,cuda"], "--ways must be of auto, masks"),
        (["costs", "--context", "0"], "--context: expected a whole number from 1 to"),
        (
            ["synth", "x", "--layers", "0"],
            "--layers: expected a whole number from 1 to 10000",
        ),
        (["train", "x", "--out", "y", "--batch-size", "0"], "--batch-size: expected"),
        (["dance"], "invalid choice: 'dance'"),
    ],
)
def test_a_number_that_cannot_be_is_named_by_its_option(capsys, words, complaint):
    status, out, err = run(capsys, *words)
    assert (status, out) == (2, "")
    assert complaint in err
    assert err.count("\n") == 1


def test_every_command_has_its_line_in_the_help_and_the_table(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    out = capsys.readouterr().out
    listed = re.findall(
        r"^    `(\w+)`",
        importlib.import_module("minibitnet.commands").__doc__,
        re.MULTILINE,
    )
    modules = {file.stem for file in Path(options.__file__).parent.glob("[!_]*.py")}
    assert set(listed) == modules
    assert [*cli.COMMANDS, "options", "streams"] == listed
    for name in cli.COMMANDS:
        assert re.search(rf"^ +{name}\s+\w+", out, re.MULTILINE)


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_tells_what_it_takes(capsys, name):
    with pytest.raises(SystemExit):
        main([name, "--help"])
    out = capsys.readouterr().out
    assert cli.COMMANDS[name].__doc__.split("\n")[0].split()[0] in out


def test_inspect_tells_where_the_bytes_go(capsys, checkpoint):
    status, out, _ = run(capsys, "inspect", checkpoint, "--json", "--tensors")
    report = json.loads(out)
    size = (checkpoint / "model.safetensors").stat().st_size
    assert (status, sum(report["bytes"].values())) == (0, size)
    assert report["config"]["hidden_size"] == 40
    assert report["config"]["sub_norms"] is (report["config"]["hidden_act"] == "relu2")
    assert len(report["codes"]) == 3 * 7
    names = {tensor["name"]: tensor["shape"] for tensor in report["tensors"]}
    assert names["model.norm.weight"] == [40]
    assert report["warnings"] == []


def test_inspect_for_people(capsys, checkpoint):
    status, out, err = run(capsys, "inspect", checkpoint, "--tensors")
    assert (status, err) == (0, "")
    rows = [line.split() for line in out.splitlines()]
    assert ["hidden_size", "40"] in rows
    assert ["model.norm.weight", "BF16", "40", "80"] in rows
    assert ["model.layers.0.mlp.down_proj.weight", "U8", "10", "x", "50", "500"] in rows
    [together] = [row for row in rows if row[:1] == ["all"]]
    # as many as 2B4T has, which `synth` draws by
    assert float(together[3].rstrip("%")) == pytest.approx(42.2, abs=2)


def test_inspect_warns_of_weights_that_are_all_zero(capsys, checkpoint, tmp_path):
    content = (checkpoint / "config.json").read_bytes()
    (tmp_path / "config.json").write_bytes(content)
    weights = bytearray((checkpoint / "model.safetensors").read_bytes())
    weights[-6 * 40 :] = b"\0" * (6 * 40)  # every code -1: a download that broke off
    weights[-1] = 0b11
    (tmp_path / "model.safetensors").write_bytes(weights)
    status, _, err = run(capsys, "inspect", tmp_path)
    assert status == 1
    assert "has no +1" in err
    assert "1 codes are 3" in err


def test_inspect_of_masters_counts_no_codes(capsys):
    print_shares({})
    assert "quantized on loading" in capsys.readouterr().out


def test_synth_writes_nothing_over_a_checkpoint(capsys, checkpoint, tmp_path):
    status, _, err = run(capsys, "synth", checkpoint)
    assert (status, "expected a new or an empty directory" in err) == (2, True)
    status, _, err = run(capsys, "synth", tmp_path / "a", "--tokenizer", tmp_path)
    assert (status, "expected tokenizer.json" in err) == (2, True)


def test_synth_like_2b4t_takes_other_sizes_too(capsys, tmp_path):
    words = ("--like", "2b4t", "--layers", 1, "--vocab-size", 64)
    status, out, _ = run(capsys, "synth", tmp_path / "a", *words)
    assert (status, out) == (0, f"{tmp_path / 'a'}\n")
    config = mb.load(tmp_path / "a")[0].config
    assert (config.hidden_size, config.num_hidden_layers) == (2560, 1)
    assert config.eos_token_ids == (63,)
    words = ("--like", "2b4t", "--layers", 1, "--hidden-size", 8, "--heads", 2)
    run(capsys, "synth", tmp_path / "b", *words, "--kv-heads", 1)
    config = mb.load(tmp_path / "b")[0].config
    assert (config.vocab_size, config.eos_token_ids) == (128256, (128001, 128009))


def test_doctor_finds_all_well_here(capsys):
    status, out, _ = run(capsys, "doctor")
    assert (status, out.count("ok  "), out.count("FAIL")) == (0, 4, 0)
    status, out, _ = run(capsys, "doctor", "--json")
    assert [check["passed"] for check in json.loads(out)["checks"]] == [True] * 4


def test_doctor_says_what_is_wrong(capsys, monkeypatch):
    broken = Check("a small model", False, "differs")
    monkeypatch.setattr(doctor, "check_model", lambda: broken)
    status, out, _ = run(capsys, "doctor")
    assert (status, "FAIL  a small model: differs\n" in out) == (1, True)
    assert run(capsys, "doctor", "--json")[0] == 1


def test_doctor_tells_what_is_not_installed(monkeypatch):
    monkeypatch.setattr(doctor, "PACKAGES", ("numpy", "no-such-package"))
    assert "no-such-package (missing)" in doctor.describe_machine()["packages"]


def test_doctor_tells_a_random_model_from_the_real_one(capsys, speaking):
    status, out, _ = run(capsys, "doctor", "--model", speaking)
    assert status == 1
    assert "FAIL  model.safetensors: expected 8143ae" in out
    assert "generation_config.json: expected" in out
    assert "FAIL  published logits" in out


def test_download_prints_where_the_files_lie_and_checks_them(
    capsys, monkeypatch, speaking
):
    monkeypatch.setattr(download, "download", lambda hub_id: speaking)
    status, out, err = run(capsys, "download", "owner/name")
    assert (status, out, err) == (0, f"{speaking}\n", "downloading owner/name\n")
    monkeypatch.setattr(download, "check_hashes", lambda _: [Check("a", False, "b")])
    status, out, err = run(capsys, "download")
    assert (status, out) == (1, f"{speaking}\n")
    assert err == f"downloading {HUB_ID}\nFAIL  a: b\n"
    status, _, err = run(capsys, "download", "bitnet")
    assert (status, "id must be owner/name, or owner/name/file.gguf" in err) == (
        2,
        True,
    )


def test_a_download_with_a_wrong_hash_is_not_put_in_place(
    capsys, monkeypatch, tmp_path
):
    @contextmanager
    def new_download(hub_id, directory):
        assert (hub_id, directory) == (HUB_ID, tmp_path / "out")
        yield tmp_path

    monkeypatch.setattr(download, "new_download", new_download)
    for file in ("config.json", "model.safetensors"):
        (tmp_path / file).touch()
    checks = [Check("config.json", True, "a"), Check("model.safetensors", False, "b")]
    monkeypatch.setattr(download, "check_hashes", lambda _: checks)
    status, out, err = run(capsys, "download", HUB_ID, tmp_path / "out")
    assert (status, out) == (1, "")
    assert "FAIL  model.safetensors: b" in err
    assert [file.name for file in tmp_path.iterdir()] == ["config.json"]
    monkeypatch.setattr(download, "check_hashes", lambda _: checks[:1])
    status, out, _ = run(capsys, "download", HUB_ID, tmp_path / "out")
    assert (status, out) == (0, f"{tmp_path / 'out'}\n")


def test_interrupting_is_not_a_traceback(capsys, monkeypatch, checkpoint):
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("minibitnet.commands.generate.generate", interrupted)
    status, _, err = run(capsys, "generate", "--ids", "1", "--model", checkpoint)
    assert (status, err) == (130, "\n")
    assert signal.getsignal(signal.SIGINT) is startup.leave  # for a second Ctrl-C


@pytest.mark.parametrize(
    ("words", "large", "compiler", "said"),
    [
        ((), True, True, True),
        ((), False, True, False),
        ((), True, False, False),
        (("--kernel", "blas"), True, True, False),
    ],
)
def test_a_large_model_where_there_is_a_compiler_has_a_faster_kernel(
    capsys, monkeypatch, checkpoint, words, large, compiler, said
):
    monkeypatch.setattr(options, "LARGE", 0 if large else 2**60)
    monkeypatch.setattr(options, "has_compiler", lambda: compiler)
    words = ("generate", "--ids", 1, "--model", checkpoint, *words)
    status, _, err = run(capsys, *words, "--max-new-tokens", 1)
    assert (status, err.count(options.FASTER)) == (0, int(said))


def test_bench_has_a_row_for_each_way_and_number_of_threads(capsys, checkpoint):
    words = ["bench", "--model", checkpoint, "--ways", "auto,masks", "--rounds", 1]
    words += ["--threads", "1,3", "--prefill", "4,65", "--decode", 4]
    status, out, _ = run(capsys, *words)
    rows = [line.split("|")[1:-1] for line in out.splitlines() if line[:2] == "| "]
    cells = [[cell.strip() for cell in row] for row in rows]
    assert status == 0
    assert cells[0][2:] == [
        "load, s",
        "prefill 4",
        "prefill 65",
        "decode 4",
        "peak, GB",
    ]
    assert [row[:2] for row in cells[1:]] == [
        *(["auto", "1"], ["auto", "3"], ["masks", "1"], ["masks", "3"])
    ]
    assert [row[4] for row in cells[1:]] == 4 * ["-"]  # 65 are more than the context
    assert "GFLOP/s, 3 threads" in out
    assert "gate.acc" in out
    assert all(re.fullmatch(r".+ = \d+%", row[5]) for row in cells[1:])


def test_bench_says_how_near_a_rate_is_to_the_limit():
    row = {"threads": 2, "prefill": {}, "decode": {16: {"median": 6.0}}}
    row["bytes"] = {16: {"median": 1e9}}  # at 20 GB/s twenty a second
    machine = {"GB/s, 1 threads": 10.0, "GB/s, 2 threads": 20.0}
    assert bench.share(row, "decode", 16, machine) == " = 30%"
    assert bench.share(row, "decode", 1024, machine) == ""
    assert bench.share(row, "prefill", 16, machine) == ""


def test_bench_refuses_a_kernel_that_cannot_be_had_before_it_measures(
    capsys, monkeypatch
):
    def refuse(kernel):
        raise ValueError(f"kernel {kernel}: no compiler")

    monkeypatch.setattr(bench, "find_kernel", refuse)
    assert run(capsys, "bench", "--ways", "c")[0] == 2


def test_bench_as_json(capsys, checkpoint, monkeypatch):
    summary = {"load": {"median": 2, "low": 1, "high": 3}, "memory": None}
    monkeypatch.setattr(
        bench, "measure_rounds", lambda jobs, rounds: ({"GB/s": 9}, [summary])
    )
    words = ("bench", "--model", checkpoint, "--ways", "blas", "--threads", 5)
    report = json.loads(run(capsys, *words, "--json")[1])
    row = {"way": "blas", "threads": 5} | summary
    assert report == {"machine": {"GB/s": 9}, "rounds": 3, "ways": [row]}


def test_bench_measures_the_size_of_2b4t_by_default(monkeypatch):
    def written(directory, content):
        assert content == CONFIG
        (directory / "config.json").write_text("{}")
        return directory

    monkeypatch.setattr(bench, "write_checkpoint", written)
    with bench.checkpoint(None) as directory:
        assert (directory / "config.json").exists()
    assert not directory.exists()


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (None, "-"),
        ({"median": 4.1, "low": 3.9, "high": 4.25}, "4.10 (3.90-4.25)"),
        ({"median": 41.2, "low": 41.1, "high": 41.3}, "41"),
    ],
)
def test_bench_shows_a_median_and_its_range(number, text):
    assert bench.show(number) == text


def test_costs_prints_2b4t(capsys):
    status, out, _ = run(capsys, "costs")
    rows = [line.split() for line in out.splitlines()]
    assert status == 0
    assert ["ternary", "weights", "2,084,044,800"] in rows
    assert ["1.58", "0.412", "1.068"] in rows
    assert ["cache", "of", "4096", "tokens,", "float32:", "0.629", "GB"] in rows
    assert "read to write a token behind 4096, at least: 1.807 GB\n" in out
    [head] = [row for row in rows if row[:1] == ["head"]]
    assert head[1:] == ["328,335,360", "0", "328,335,360", "0"]


def test_costs_counts_the_arrays_that_a_checkpoint_has(capsys, checkpoint):
    words = ("costs", "--model", checkpoint, "--context", 10, "--json")
    report = json.loads(run(capsys, *words)[1])
    model, _ = mb.load(checkpoint)
    config = model.config
    gains = model.norm.size
    for block in model.layers:
        every = (block.input_layernorm, block.post_attention_layernorm)
        every += (block.self_attn.attn_sub_norm, block.mlp.ffn_sub_norm)
        gains += sum(gain.size for gain in every if gain is not None)
    assert report["weights"]["norms"] == gains
    heads = 1 if model.lm_head is model.embed_tokens else 2
    assert report["weights"]["embedding"] == heads * 97 * 40
    assert report["weights"]["ternary"] == costs.count_weights(config).ternary
    assert report["cache of 10 tokens"] == costs.cache_size(config, 10)


def test_a_reader_that_leaves_early_is_no_error(checkpoint):
    words = command("inspect", checkpoint, "--tensors")
    env = {k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"}
    pipe = subprocess.PIPE
    process = subprocess.Popen(words, stdout=pipe, stderr=pipe, env=env)
    process.stdout.close()
    assert process.wait(60) == 0
    assert process.stderr.read() == b""


def test_the_module_is_the_command():
    text = subprocess.run(command("--version"), capture_output=True, text=True).stdout
    assert text == f"minibitnet {mb.__version__}\n"


def test_without_a_command_it_tells_which_there_are(capsys):
    status, out, err = run(capsys)
    assert (status, out) == (2, "")
    assert {*cli.COMMANDS} <= {line.split()[0] for line in err.splitlines() if line}


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (OSError(13, "Permission denied", "a\x1bb"), "a\\x1bb: Permission denied"),
        (OSError(28, "No space left on device"), "No space left on device"),
        (OSError("what now"), "what now"),
        (MemoryError(), "out of memory"),
        (MemoryError("Unable to allocate 9 TiB"), "out of memory: Unable to all"),
        (ValueError("two\nlines\x9b"), "two\\nlines\\x9b"),
        (OverflowError("too large"), "too large"),
        (ValueError("x" * 5000), "x" * 1000 + " ...\n"),
    ],
)
def test_an_error_is_one_line_that_steers_no_terminal(
    capsys, monkeypatch, checkpoint, error, line
):
    def fail(*args, **kwargs):
        raise error

    monkeypatch.setattr("minibitnet.commands.generate.generate", fail)
    status, _, err = run(capsys, "generate", "--ids", "1", "--model", checkpoint)
    assert (status, err.count("\n")) == (2, 1)
    assert err.startswith(f"minibitnet: {line}")


NUMERIC = {*"NXKPDFLHGVTBS", "T,T", "S,S", "N,N", "SECONDS"}
NO_NUMBERS = [
    *("-1", "nan", "inf", "-inf", "1e999", "0x10", "1.5e", "", " ", "1" * 5000),
    "x\x1b[2J",
]


def options_with_numbers():
    for name, module in cli.COMMANDS.items():
        parser = argparse.ArgumentParser()
        module.add_arguments(parser)
        for action in parser._actions:
            if action.option_strings and action.metavar in NUMERIC:
                yield name, action.option_strings[0]


@pytest.mark.parametrize(("name", "flag"), [*options_with_numbers()])
def test_every_number_has_a_range(name, flag):
    for text in NO_NUMBERS:
        with pytest.raises(ValueError, match=f"^{flag}: expected a ") as refused:
            cli.make_parser().parse_args([name, f"{flag}={text}"])
        assert len(str(refused.value)) < 200


def test_two_minus_signs_are_no_value(capsys):
    status, _, err = run(capsys, "generate", "hello", "--model=--")
    assert (status, err) == (2, "minibitnet: --model: expected a value, got '--'\n")


@pytest.mark.parametrize("words", [("--foo",), ("a", "b")])
def test_what_a_command_does_not_know_is_refused_with_its_own_help(capsys, words):
    status, _, err = run(capsys, "inspect", *words)
    assert (status, err.count("\n")) == (2, 1)
    assert f"unrecognized arguments: {words[-1]} (see minibitnet inspect --help)" in err
    status, _, err = run(capsys, "--foo")
    assert (status, err.count("\n")) == (2, 1)
    assert "unrecognized arguments: --foo (see minibitnet --help)" in err


def test_names_in_a_file_steer_no_terminal(capsys, checkpoint, tmp_path):
    evil = "\x1b]0;owned\x07\x9b31m\r\nok"
    tensors = read_tensors(checkpoint / "model.safetensors")
    arrays = {t.name: t.array for t in tensors.values()} | {evil: np.zeros(1, np.uint8)}
    specs = {name: spec_of(array) for name, array in arrays.items()}
    write_tensors(tmp_path / "model.safetensors", specs, lambda name: [arrays[name]])
    shutil.copy(checkpoint / "config.json", tmp_path)
    for words in (("--tensors",), ("--tensors", "--json")):
        status, out, err = run(capsys, "inspect", tmp_path, *words)
        assert "owned" in out + err
        assert not {*map(ord, out + err)} & {*streams.CONTROLS} - {ord("\n")}


posix = pytest.mark.skipif(not POSIX, reason="needs signals")


@posix
@pytest.mark.parametrize(
    ("sent", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)]
)
def test_a_signal_ends_a_command_without_a_traceback(checkpoint, sent, status):
    # an interrupt inside coverage's own lock would leave it locked for ever
    env = {k: v for k, v in os.environ.items() if not k.startswith("COVERAGE")}
    words = command("bench", "--model", checkpoint, "--ways", "auto", "--rounds", 9999)
    process = subprocess.Popen(words, stderr=subprocess.PIPE, stdout=-3, env=env)
    time.sleep(3)
    process.send_signal(sent)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, b"Traceback" in err) == (status, False)


def test_sigterm_cleans_up_on_its_way(monkeypatch):
    cli.take_signals()
    with pytest.raises(SystemExit) as stop:
        signal.raise_signal(signal.SIGTERM)
    assert stop.value.code == 143


def test_outside_the_main_thread_signals_are_left_alone():
    before = signal.getsignal(signal.SIGTERM)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(cli.take_signals).result()
    assert signal.getsignal(signal.SIGTERM) is before
