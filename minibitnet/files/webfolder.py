"""Folders for a browser on this machine, each under an address of its own.

The standard library's server shows any file of one folder to whoever asks. This one is
for a page and what it reads: several folders, only files of known kinds, nothing that
lies outside a folder, and only this machine may ask.

Notes
-----
Any page that a user has open can send requests to 127.0.0.1, and can have a name of its
own that leads there. A request by such a name is refused: the browser says in ``Host``
by which name it asked. What is served may load nothing from elsewhere
(``Content-Security-Policy``). An address that ends with ``/`` is ``index.html``, or
else a list of the files there, as JSON.

Examples
--------
>>> from minibitnet.stories import BUILT_IN
>>> folders = {"": BUILT_IN.parent, "model/": BUILT_IN}
>>> find(folders, "model/config.json").relative_to(BUILT_IN.parent).as_posix()
'stories/config.json'
>>> find(folders, "model/../../secret.json") is None
True
"""

import io
import json
import sys
from collections.abc import Mapping
from functools import partial
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

HOST = "127.0.0.1"
KINDS = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".py": "text/plain; charset=utf-8",
    ".safetensors": "application/octet-stream",
}
HEADERS = {
    "Cache-Control": "no-cache",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'self' blob:; img-src data:; "
    "style-src 'self' 'unsafe-inline'",
}
NOWHERE = ""  # a path that no file has


def find(folders: Mapping[str, Path], address: str) -> Path | None:
    """The file or folder at an address, if it may be seen."""
    start = max(filter(address.startswith, folders), key=len)
    folder = folders[start].resolve()
    try:
        found = (folder / address.removeprefix(start)).resolve(strict=True)
    except (OSError, ValueError):  # there is none, or it is no path at all
        return None
    inside = found == folder or folder in found.parents
    seen = found.is_dir() or (found.is_file() and found.suffix in KINDS)
    return found if inside and seen else None


class Handler(SimpleHTTPRequestHandler):
    """What is done for a request."""

    extensions_map = KINDS

    def __init__(self, *args: Any, folders: Mapping[str, Path]):
        self.folders = folders
        super().__init__(*args)

    def send_head(self) -> Any:
        """Refuse who asks by another name."""
        port = self.connection.getsockname()[1]
        if self.headers["Host"] not in (f"{HOST}:{port}", f"localhost:{port}"):
            self.send_error(HTTPStatus.FORBIDDEN)
            return None
        return super().send_head()

    def translate_path(self, path: str) -> str:
        """Where the file of an address lies."""
        address = unquote(urlsplit(path).path).removeprefix("/")
        return str(find(self.folders, address) or NOWHERE)

    def list_directory(self, path: Any) -> io.BytesIO:
        """The names of the files that may be seen, as JSON."""
        seen = (file for file in Path(path).iterdir() if file.suffix in KINDS)
        names = json.dumps(sorted(file.name for file in seen)).encode()
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", KINDS[".json"])
        self.send_header("Content-Length", str(len(names)))
        self.end_headers()
        return io.BytesIO(names)

    def end_headers(self) -> None:
        """Add what holds for all answers."""
        for name, value in HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


class Server(ThreadingHTTPServer):
    """A server that bears a browser which goes away."""

    def handle_error(self, *request: Any) -> None:
        """Print what went wrong, unless it is that nobody listens any more."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(*request)


def make_server(folders: Mapping[str, Path], port: int) -> Server:
    """A server of folders, each under its address; "" is one of them.

    Port 0 is a free one. It serves from ``serve_forever()`` to ``shutdown()``.
    """
    try:
        return Server((HOST, port), partial(Handler, folders=folders))
    except OSError as error:
        raise OSError(error.errno, error.strerror, f"port {port}") from None
