import http.client
import json
import socket
import threading
from contextlib import contextmanager

import pytest

from minibitnet.files.webfolder import HOST, make_server


@contextmanager
def served(folders):
    with make_server(folders, 0) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server.server_address[1]
        server.shutdown()


@pytest.fixture
def port(tmp_path):
    (tmp_path / "page" / "views").mkdir(parents=True)
    (tmp_path / "model").mkdir()
    (tmp_path / "page" / "index.html").write_text("<p>é</p>")
    (tmp_path / "page" / "page.mjs").write_text("1")
    (tmp_path / "page" / "secret.key").write_text("hidden")
    (tmp_path / "page" / "views" / "a.css").write_text("a {}")
    (tmp_path / "model" / "config.json").write_text("{}")
    (tmp_path / "outside.json").write_text("hidden")
    (tmp_path / "page" / "link.json").symlink_to(tmp_path / "outside.json")
    folders = {"": tmp_path / "page", "model/": tmp_path / "model"}
    with served(folders) as port:
        yield port


def get(port, address, method="GET", **headers):
    connection = http.client.HTTPConnection(HOST, port, timeout=20)
    connection.request(method, address, headers=headers)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, answer.headers, body


@pytest.mark.parametrize(
    ("address", "kind", "body"),
    [
        ("/", "text/html; charset=utf-8", "<p>é</p>".encode()),
        ("/index.html?a#b", "text/html; charset=utf-8", "<p>é</p>".encode()),
        ("/page.mjs", "text/javascript; charset=utf-8", b"1"),
        ("/views/a.css", "text/css; charset=utf-8", b"a {}"),
        ("/model/config.json", "application/json", b"{}"),
        ("/model/", "application/json", b'["config.json"]'),
    ],
)
def test_what_is_in_a_folder_is_served(port, address, kind, body):
    status, headers, found = get(port, address)
    assert (status, headers["Content-Type"], found) == (200, kind, body)
    assert "default-src 'self'" in headers["Content-Security-Policy"]
    assert get(port, address, "HEAD")[2] == b""


@pytest.mark.parametrize(
    "address",
    [
        *("/no.html", "/secret.key", "/link.json", "/../outside.json"),
        *("/model/../outside.json", "/model/%2e%2e/outside.json", "/%00.json"),
        *("/" + "x" * 5000, "/model/..", "//etc/passwd"),
    ],
)
def test_what_is_not_to_be_seen_is_not_there(port, address, capfd):
    status, _, body = get(port, address)
    assert (status, b"hidden" in body) == (404, False)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("name", ["evil.example", "evil.example:80", "127.0.0.1:1"])
def test_who_asks_by_another_name_is_refused(port, name):
    assert get(port, "/", Host=name)[0] == 403
    assert get(port, "/", Host=f"localhost:{port}")[0] == 200


def test_folders_list_only_what_may_be_seen(port):
    assert json.loads(get(port, "/views/")[2]) == ["a.css"]


def test_only_reading_is_done(port):
    assert get(port, "/page.mjs", "POST")[0] == 501


def test_a_port_that_is_taken_is_named(port, tmp_path):
    with pytest.raises(OSError, match=f"port {port}"):
        make_server({"": tmp_path}, port)


def test_who_leaves_is_no_error(tmp_path, capfd):
    with make_server({"": tmp_path}, 0) as server:
        for error, said in ((ConnectionResetError(), False), (KeyError("x"), True)):
            try:
                raise error
            except (ConnectionError, KeyError):
                server.handle_error(socket.socket(), (HOST, 1))
            assert ("Traceback" in capfd.readouterr().err) is said
