import http.client
import json
import shutil
import threading
import webbrowser
from pathlib import Path

import pytest

from minibitnet.commands import play
from minibitnet.stories import BUILT_IN


class Interrupted:
    """In place of a server: it is interrupted at once."""

    server_address = ("127.0.0.1", 4711)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def serve_forever(self):
        raise KeyboardInterrupt


@pytest.fixture
def asked(monkeypatch):
    asked = {"opened": []}

    def make_server(folders, port):
        asked.update(folders=folders, port=port)
        return Interrupted()

    monkeypatch.setattr(play, "make_server", make_server)
    monkeypatch.setattr(webbrowser, "open", asked["opened"].append)
    return asked


def test_it_prints_the_address_and_opens_the_browser(run, asked):
    status, out, err = run("play")
    assert (status, out) == (130, "http://127.0.0.1:4711/\n")
    assert err == "Ctrl-C ends it\n\n"
    assert asked["opened"] == ["http://127.0.0.1:4711/"]
    assert asked["port"] == 0
    assert asked["folders"]["model/"] == BUILT_IN


def test_without_a_browser_it_prints_the_address_only(run, asked, speaking):
    run("play", "--no-browser", "--port", 8000, "--model", speaking)
    assert (asked["opened"], asked["port"]) == ([], 8000)
    assert asked["folders"]["model/"] == Path(speaking)


def test_it_returns_when_the_server_is_shut_down(run, asked, monkeypatch):
    monkeypatch.setattr(Interrupted, "serve_forever", lambda _: None)
    assert run("play", "--no-browser")[0] == 0


def test_all_that_the_page_needs_is_served():
    with play.make_server(play.folders_of_page(BUILT_IN), 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        connection = http.client.HTTPConnection(*server.server_address, timeout=20)

        def get(address):
            connection.request("GET", address)
            answer = connection.getresponse()
            return answer.status, answer.read()

        names = json.loads(get("/model/")[1])
        assert {"config.json", "model.safetensors", "tokenizer.json"} <= {*names}
        for name in ("", "page.mjs", "worker.mjs", "views/map.mjs", "style.css"):
            assert get(f"/{name}")[0] == 200
        for name in ("minibitnet/one_page.py", "notebooks/05_bitlinear.py"):
            assert get(f"/source/{name}")[0] == 200
        assert get("/source/notebooks/../pyproject.toml")[0] == 404
        connection.close()
        server.shutdown()


def test_a_model_that_the_page_cannot_show_is_refused(run, tmp_path, monkeypatch):
    status, out, err = run("play", "--model", tmp_path)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "config.json" in err
    status, _, err = run("play", "--model", tmp_path / "model.gguf")
    assert (status, err.count("\n")) == (2, 1)
    assert "model.gguf: expected a directory" in err
    for name in ("config.json", "model.safetensors"):
        shutil.copy(BUILT_IN / name, tmp_path)
    status, _, err = run("play", "--model", tmp_path)
    assert (status, err.count("\n")) == (2, 1)
    assert "expected a tokenizer.json" in err
    shutil.copy(BUILT_IN / "tokenizer.json", tmp_path)
    monkeypatch.setattr(play, "LARGEST", 1000)
    status, _, err = run("play", "--model", tmp_path)
    assert (status, err.count("\n")) == (2, 1)
    assert "expected at most 1,000 bytes of weights" in err
