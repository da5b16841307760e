# The real library and a hub of our own, in a thread of this process.

import hashlib
import json
import os
import signal
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread

import pytest

import minibitnet as mb
from minibitnet.checkpoint.synth import SMALL, write_checkpoint
from minibitnet.training.vocabulary import SMALLEST, save_vocabulary, train_vocabulary

ID, COMMIT = "owner/name", "c" * 40


class Answers(BaseHTTPRequestHandler):
    def do_HEAD(self):
        self.answer(head=True)

    def do_GET(self):
        self.answer(head=False)

    def answer(self, head):
        files = self.server.files
        name = self.path.partition("?")[0].rpartition("/")[2]
        if self.path.startswith(f"/api/models/{ID}/tree"):
            entry = {"type": "file", "oid": "0" * 40}
            sizes = [entry | {"path": n, "size": len(b)} for n, b in files.items()]
            return self.send(json.dumps(sizes).encode(), head)
        if self.path.startswith("/api/"):
            siblings = [{"rfilename": name} for name in files]
            about = {"id": ID, "modelId": ID, "sha": COMMIT, "siblings": siblings}
            return self.send(json.dumps(about).encode(), head)
        self.send(files[name], head, name == self.server.stuck)

    def send(self, content, head, stuck=False):
        begin = int(self.headers.get("Range", "bytes=0-")[6:].partition("-")[0] or 0)
        self.send_response(206 if begin else 200)
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", hashlib.sha1(content).hexdigest())
        self.send_header("Content-Length", str(len(content) - begin))
        self.end_headers()
        if stuck and not head:
            self.wfile.write(content[begin : len(content) // 2])
            self.wfile.flush()
            self.server.half.set()
            self.server.go_on.wait(30)
        elif not head:
            self.server.sent += len(content) - begin
            self.wfile.write(content[begin:])

    def log_message(self, *_):
        pass


@pytest.fixture
def hub(tmp_path):
    source = write_checkpoint(tmp_path / "source", SMALL)
    save_vocabulary(train_vocabulary([], SMALLEST), source)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    server.files = {file.name: file.read_bytes() for file in source.iterdir()}
    server.files["README.md"] = server.files["original/model.safetensors"] = (
        b"not asked"
    )
    server.stuck, server.half, server.go_on, server.sent = None, Event(), Event(), 0
    Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.go_on.set()
    server.shutdown()
    server.server_close()


def start(hub, tmp_path, out):
    place = f"http://127.0.0.1:{hub.server_port}"
    own = {"HF_ENDPOINT": place, "HF_HOME": str(tmp_path / "cache")}
    words = [sys.executable, "-m", "minibitnet", "download", ID, *out]
    pipe = subprocess.PIPE
    return subprocess.Popen(words, env=os.environ | own, stdout=pipe, stderr=pipe)


@pytest.mark.parametrize("stuck", ["model.safetensors", "tokenizer.json"])
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_download_that_is_killed_is_no_model_and_is_resumed(
    hub, tmp_path, stuck, how
):
    out, hub.stuck = tmp_path / "out", stuck
    process = start(hub, tmp_path, [out])
    assert process.stderr.readline() == b"downloading owner/name\n"
    assert hub.half.wait(30)
    process.send_signal(how)
    hub.go_on.set()
    process.communicate(timeout=30)
    assert process.returncode != 0
    with pytest.raises(mb.CheckpointError, match=r"config\.json"):
        mb.load(out)
    hub.stuck = None
    process = start(hub, tmp_path, [out])
    assert process.communicate(timeout=60)[0].decode() == f"{out}\n"
    found = {file.name: file.read_bytes() for file in out.iterdir()}
    del hub.files["README.md"], hub.files["original/model.safetensors"]
    assert found == hub.files


def test_a_download_to_the_cache_is_found_there(hub, tmp_path):
    directory = start(hub, tmp_path, []).communicate(timeout=60)[0].decode().strip()
    assert mb.load(directory)[1] is not None
    before = hub.sent
    hub.shutdown()
    hub.server_close()
    again = start(hub, tmp_path, []).communicate(timeout=60)[0].decode().strip()
    assert (again, hub.sent) == (directory, before)
