r"""Jinja: a conversation as one text, as a chat template says it.

A chat template is a program in the language Jinja, which the authors of a model send
with it. It is rendered here as transformers does it, to the last space; and it comes
from somebody else, so it runs in Jinja's sandbox, where it can read what it is given
and nothing more, and with an end to what it may count to.

Notes
-----
As transformers has it:

- a line break behind a block is dropped, and so are spaces before it;
- ``break``, ``continue`` and ``{% generation %}`` are understood, the last without
  effect;
- ``tojson`` writes JSON, not HTML; ``raise_exception`` refuses a conversation;
  ``strftime_now`` is the date;
- `tools` and `documents` are None, and a namespace has no names with underscores.

References
----------
``_compile_jinja_template`` in utils/chat_template_utils.py of transformers 5.24.

Examples
--------
>>> render("{{ bos_token }}{% for m in messages %}\n{{ m.content | trim }}{% endfor %}",
...     [{"role": "user", "content": " Hi "}], {"bos_token": "<s>"}, prompt=True)
'<s>Hi'
>>> render("{{ raise_exception('no system here') }}", [], {}, prompt=True)
Traceback (most recent call last):
    ...
ValueError: chat_template: no system here
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NoReturn

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.runtime import Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace

from minibitnet.files.jsonfile import printable

MOST_STEPS = 100_000  # passes through loops, calls of macros
LARGEST_PRODUCT = 1_000_000


class Generation(Extension):
    """``{% generation %}`` ... ``{% endgeneration %}``: what is in it."""

    tags = {"generation"}

    def parse(self, parser: Parser) -> nodes.Node:
        """The block, as a call, in which ``set`` sets nothing outside."""
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        block = nodes.CallBlock(self.call_method("inside"), [], [], body)
        return block.set_lineno(line)

    def inside(self, caller: Macro) -> str:
        """What is in it."""
        return str(caller())


class OpenNamespace(Namespace):
    """A namespace; names with an underscore first are refused."""

    def __init__(*args: Any, **kwargs: Any) -> None:
        self, *rest = args  # so that `self` may be a name in it
        Namespace.__init__(self)
        for name, value in dict(*rest, **kwargs).items():
            self[name] = value

    def __setitem__(self, name: str, value: Any) -> None:
        if str(name).startswith("_"):
            raise jinja2.TemplateError(f"a namespace cannot have a name {name!r}")
        super().__setitem__(name, value)


class Sandbox(ImmutableSandboxedEnvironment):
    """Where one template is rendered once."""

    intercepted_binops = frozenset({"*", "**"})

    def __init__(self) -> None:
        super().__init__(
            trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols]
        )
        self.steps = 0
        self.filters["tojson"] = write_json
        self.globals |= {
            "raise_exception": raise_exception,
            "strftime_now": lambda form: datetime.now().strftime(form),
            "dict": lambda *args, **kwargs: dict(*args, **kwargs),
            "namespace": OpenNamespace,
        }

    def step(self) -> None:
        """Count a pass through a loop."""
        self.steps += 1
        if self.steps > MOST_STEPS:
            raise jinja2.TemplateError(f"more than {MOST_STEPS} steps")

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Multiply, but neither 9 ** 9 ** 9 nor a text by ten billion."""
        sizes = [len(x) if hasattr(x, "__len__") else abs(x) for x in (left, right)]
        if operator == "**" or sizes[0] * sizes[1] > LARGEST_PRODUCT:
            raise jinja2.TemplateError(f"{operator} of large things")
        return super().call_binop(context, operator, left, right)

    def compile_counted(self, source: str) -> jinja2.Template:
        """The template, with a call of `step` in each loop and each macro."""
        tree = self.parse(source)
        loops: Iterable[nodes.For | nodes.Macro]
        loops = (*tree.find_all(nodes.For), *tree.find_all(nodes.Macro))
        for node in loops:
            step = nodes.Call(nodes.EnvironmentAttribute("step"), [], [], None, None)
            node.body.insert(0, nodes.ExprStmt(step).set_lineno(node.lineno))
        return self.from_string(tree)


def raise_exception(message: str) -> NoReturn:
    """Refuse a conversation."""
    raise jinja2.TemplateError(message)


def write_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """JSON, with no care for HTML."""
    return json.dumps(
        value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
    )


def render(
    source: str,
    messages: Sequence[Mapping[str, str]],
    variables: Mapping[str, str],
    prompt: bool,
) -> str:
    """A conversation as one text.

    Parameters
    ----------
    source : str
        The template.
    messages : list of dict
        What the template calls ``messages``.
    variables : dict
        What else it knows by name, as ``bos_token``.
    prompt : bool
        What it calls ``add_generation_prompt``: whether an answer is to follow.

    Raises
    ------
    ValueError
        If the template is damaged, goes on for too long or refuses the conversation.
    """
    try:
        return (
            Sandbox()
            .compile_counted(source)
            .render(
                **variables,
                messages=[dict(message) for message in messages],
                tools=None,
                documents=None,
                add_generation_prompt=prompt,
            )
        )
    except jinja2.TemplateError as error:
        found = str(error)
    except Exception as error:  # a template can add a number to a text, and so on
        found = f"{type(error).__name__}: {error}"
    raise ValueError(printable(f"chat_template: {found}"))


def same(template: str, other: str) -> bool:
    """Whether two templates are the same but for their spelling."""
    try:
        return bool(Sandbox().parse(template) == Sandbox().parse(other))
    except (jinja2.TemplateError, RecursionError):
        return False
