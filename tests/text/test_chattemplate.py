import json

import pytest

from minibitnet import CheckpointError
from minibitnet.text.chattemplate import read_names, read_template

DEFAULT = {"name": "default", "template": "a"}
TOOLS = {"name": "tool_use", "template": "b"}


def write(directory, **files):
    for name, content in files.items():
        text = content if isinstance(content, str) else json.dumps(content)
        file = directory / name.replace("__", ".")
        file.write_bytes(text.encode())


@pytest.mark.parametrize("template", ["a", [TOOLS, DEFAULT], [DEFAULT]])
def test_a_template_may_stand_in_each_of_three_files(tmp_path, template):
    assert read_template(tmp_path, {}) is None
    write(tmp_path, chat_template__json={"chat_template": template})
    assert read_template(tmp_path, {"chat_template": None}) == "a"
    config = {"chat_template": [{**DEFAULT, "template": "c"}]}
    assert read_template(tmp_path, config) == "c"
    write(tmp_path, chat_template__jinja="d\n")
    assert read_template(tmp_path, config) == "d\n"


@pytest.mark.parametrize(
    "template",
    [
        *(7, True, {}, {"default": "a"}, [], [TOOLS], ["a"], [{"name": "default"}]),
        *([None], [{"name": [], "template": "a"}], [{**DEFAULT, "template": None}]),
    ],
)
def test_what_is_no_template_is_refused(tmp_path, template):
    expected = "chat_template: expected a text, or several with names, one 'default'"
    with pytest.raises(CheckpointError, match=f"tokenizer_config.json: {expected}"):
        read_template(tmp_path, {"chat_template": template})
    write(tmp_path, chat_template__json={"chat_template": template})
    with pytest.raises(CheckpointError, match=f"chat_template.json: {expected}"):
        read_template(tmp_path, {})


def test_a_file_that_is_no_text_is_refused(tmp_path):
    (tmp_path / "chat_template.jinja").write_bytes(b"a\xff")
    with pytest.raises(CheckpointError, match="chat_template.jinja: expected text"):
        read_template(tmp_path, {})


def test_special_tokens_have_their_names(tmp_path):
    token = {"content": "</s>", "lstrip": False}
    config = {
        **{"bos_token": "<s>", "eos_token": token, "pad_token": None, "unk_token": 7},
        **{"add_bos_token": True, "image_token": "<i>", "tokenizer_class": "X"},
    }
    names = {"bos_token": "<s>", "eos_token": "</s>", "image_token": "<i>"}
    assert read_names(tmp_path, config) == names
    write(tmp_path, special_tokens_map__json={"eos_token": "<e>", "pad_token": "<p>"})
    older = {"eos_token": "<e>", "pad_token": "<p>"}
    assert read_names(tmp_path, config) == names | older
    assert read_names(tmp_path, config | {"added_tokens_decoder": {}}) == names
