import json
import shutil

import pytest

import minibitnet as mb
from minibitnet.stories import BUILT_IN

EOT = "<|eot_id|>"


@pytest.fixture
def directory(tmp_path):
    return shutil.copytree(BUILT_IN, tmp_path / "model")


@pytest.mark.parametrize("named", [None, [], 4090, [4090, 4091]])
def test_an_answer_ends_as_its_template_says_whatever_the_config_says(directory, named):
    file = directory / "config.json"
    content = json.loads(file.read_text(encoding="utf-8")) | {"eos_token_id": named}
    file.write_text(json.dumps(content), encoding="utf-8")
    model, tokenizer = mb.load(directory)
    ids = [named] if isinstance(named, int) else named or []
    end = tokenizer.encode(EOT, bos=False)
    assert model.config.eos_token_ids == tuple(dict.fromkeys(ids + end))
    assert model.tokenizer is tokenizer
    (directory / "tokenizer.json").unlink()
    model, tokenizer = mb.load(directory)
    assert model.config.eos_token_ids == tuple(ids)
    assert model.tokenizer is tokenizer is None


def test_another_template_ends_an_answer_with_another_token(directory):
    template = "{% for m in messages %}{{ m.content }}<|end_of_text|>{% endfor %}"
    (directory / "chat_template.jinja").write_text(template, encoding="utf-8")
    model, tokenizer = mb.load(directory)
    assert [*tokenizer.end_of_turn] == ["<|end_of_text|>"]
    assert {*tokenizer.end_of_turn.values()} <= {*model.config.eos_token_ids}


def test_a_template_that_is_damaged_stops_no_text(directory):
    (directory / "chat_template.jinja").write_text("{% for", encoding="utf-8")
    model, tokenizer = mb.load(directory)
    assert len(list(mb.generate(model, tokenizer.encode("Once"), 3))) == 3
    with pytest.raises(ValueError, match="chat_template: "):
        tokenizer.chat([{"role": "user", "content": "hello"}])
