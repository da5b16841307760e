"""Show a small model at work in a browser: every number that makes a word.

The page computes by itself, in JavaScript (ports/js); nothing leaves this machine.
"""

import argparse
import webbrowser
from pathlib import Path

from minibitnet.checkpoint.open import open_checkpoint
from minibitnet.commands.course import HOMES, PACKAGE
from minibitnet.commands.options import at_least, filled
from minibitnet.commands.streams import note
from minibitnet.files.jsonfile import CheckpointError
from minibitnet.files.webfolder import HOST, make_server
from minibitnet.stories import BUILT_IN

PAGE = Path("ports", "js")
LARGEST = 300_000_000  # bytes of a model that a page can hold


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What ``minibitnet play`` takes."""
    parser.add_argument(
        "--model",
        type=filled,
        default=BUILT_IN,
        metavar="DIR",
        help="a small checkpoint with a tokenizer.json (default: the built-in model)",
    )
    parser.add_argument(
        "--port",
        type=at_least(0, 65535),
        default=0,
        metavar="N",
        help="where to serve (default 0: a free port)",
    )
    parser.add_argument(
        "--no-browser", action="store_true", help="print the address only"
    )


def run(args: argparse.Namespace) -> int:
    """Serve the page until interrupted."""
    with make_server(folders_of_page(Path(args.model)), args.port) as server:
        address = f"http://{HOST}:{server.server_address[1]}/"
        print(address, flush=True)
        if not args.no_browser:
            webbrowser.open(address)
        note("Ctrl-C ends it")
        server.serve_forever()
    return 0


def folders_of_page(model: Path) -> dict[str, Path]:
    """What the page reads: itself, a model, and the sources it links to."""
    check_model(model)
    homes = (PACKAGE, PACKAGE.parent)
    return {
        "": next(home / PAGE for home in homes if (home / PAGE).is_dir()),
        "model/": model,
        "source/minibitnet/": PACKAGE,
        "source/notebooks/": next(
            home / "notebooks" for home in HOMES if (home / "notebooks").is_dir()
        ),
    }


def check_model(directory: Path) -> None:
    """Refuse what the page could not show."""
    if not directory.is_dir():
        raise CheckpointError(f"{directory}: expected a directory with a checkpoint")
    open_checkpoint(directory)
    if not (directory / "tokenizer.json").is_file():
        raise CheckpointError(f"{directory}: expected a tokenizer.json, found none")
    size = sum(file.stat().st_size for file in directory.glob("*.safetensors"))
    if size > LARGEST:
        raise CheckpointError(
            f"{directory}: expected at most {LARGEST:,} bytes of weights, which is "
            f"what a page can hold, found {size:,}"
        )
