"""Where a checkpoint has its chat template, and the names that the template knows.

Transformers 5 writes the template to a file of its own, chat_template.jinja. Before, it
stood in tokenizer_config.json, alone or in a list of several with names; some models
have it in chat_template.json. The first of these counts. Of several, "default" is that
of a conversation.

A template knows the tokenizer's special tokens by name, as ``bos_token``. They stand in
tokenizer_config.json or, in older checkpoints, in special_tokens_map.json.
"""

from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from minibitnet.files.jsonfile import Keys, read_json, read_text


def read_if_there(file: Path) -> dict[str, Any]:
    """What a JSON file holds; nothing where there is none."""
    return read_json(file) if file.exists() else {}


def read_template(directory: Path, config: Mapping[str, Any]) -> str | None:
    """The chat template of a checkpoint; None if it has none.

    Raises CheckpointError if it is no text, or of several none is the default.
    """
    file = directory / "chat_template.jinja"
    if file.exists():
        return read_text(file)
    file = directory / "tokenizer_config.json"
    if config.get("chat_template") is None:
        file = directory / "chat_template.json"
        config = read_if_there(file)
    match config.get("chat_template"):
        case None | str() as template:
            return template
        case [*named] if (template := default_of(named)) is not None:
            return template
        case found:
            Keys(config, str(file)).fail(
                "chat_template", "a text, or several with names, one 'default'", found
            )


def default_of(named: list[Any]) -> str | None:
    """Of templates with names the default one; None if there is none, or no names."""
    try:
        templates = {entry["name"]: entry["template"] for entry in named}
    except (KeyError, TypeError):
        return None
    default = templates.get("default")
    return default if isinstance(default, str) else None


def read_names(directory: Path, config: Mapping[str, Any]) -> dict[str, str]:
    """The special tokens that have a name, as "bos_token"."""
    if "added_tokens_decoder" not in config:
        config = {**config, **read_if_there(directory / "special_tokens_map.json")}
    names = {}
    for name, token in config.items():
        content = token.get("content") if isinstance(token, dict) else token
        if name.endswith("_token") and isinstance(content, str):
            names[name] = content
    return names


def import_jinja() -> ModuleType:
    """The renderer of other templates than 2B4T's; a ValueError without the library."""
    try:
        from minibitnet.text import jinja
    except ImportError:
        raise ValueError(
            "chat_template: another than that of BitNet b1.58 2B4T needs jinja2, which "
            "is not installed"
        ) from None
    return jinja
