"""What the README's examples stand on: the model that its first command makes."""

import pytest

from minibitnet.cli import main


@pytest.fixture(autouse=True)
def toy(request):
    if request.node.name == "README.md":
        monkeypatch = request.getfixturevalue("monkeypatch")
        monkeypatch.chdir(request.getfixturevalue("tmp_path"))
        main(["synth", "toy"])
        request.getfixturevalue("capsys").readouterr()
