import datetime
import time

import pytest

from minibitnet.text import jinja
from minibitnet.tokenizer import CHAT_TEMPLATE

MESSAGES = [{"role": "user", "content": "h\u00e9"}]


def render(source, **names):
    return jinja.render(source, MESSAGES, names, prompt=True)


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("{{ bos_token }}{{ eos_token }}", "<s>"),
        ("{{ tools }} {{ documents is none }} {{ add_generation_prompt }}\n", "None "),
        ("{{ dict(a=1) | tojson }}{{ '<\u00e9>' | tojson }}", '{"a": 1}"<\u00e9>"'),
        ("{{ {'b': 1, 'a': 2} | tojson(sort_keys=true, indent=1) }}", '{\n "a": 2,'),
        ("{% generation %}{{ 1 }}{% set x = 2 %}{% endgeneration %}{{ x }}.", "1."),
        ("{% for i in range(9) %}{% if i == 2 %}{% break %}{% endif %}{{ i }}", "01"),
        ("{% for i in [] %}{{ i }}{% else %}none{% endfor %}", "none"),
        ("{% set ns = namespace(a=1, self=2) %}{% set ns.a = 3 %}{{ ns.a + 1 }}", "4"),
        (
            "{{ namespace({'a': 1}).a * 7 }} {{ 'ab' * 3 }} {{ 0.5 * 3 }}",
            "7 ababab 1.5",
        ),
        ("{{ lipsum.__globals__ }}{{ messages.x is defined }}", "False"),
    ],
)
def test_templates_do_what_those_of_transformers_do(source, text):
    source += "{% endfor %}" * (source.count("{% for") - source.count("{% endfor"))
    assert render(source, bos_token="<s>").startswith(text)


def test_the_date_is_todays():
    before = datetime.datetime.now().strftime("%d %b %Y")
    found = render("{{ strftime_now('%d %b %Y') }}")
    assert found in (before, datetime.datetime.now().strftime("%d %b %Y"))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{{ raise_exception('roles must alternate') }}", "roles must alternate$"),
        (r"{{ raise_exception('a\n\x1b[2Jb') }}", r"a\\n\\x1b\[2Jb$"),
        ("{{ raise_exception('x' * 9000) }}", "x{99} ... x{99}"),
        ("{% if %}", "Expected an expression"),
        ("{{ 1 + 'a' }}", "TypeError: unsupported operand"),
        ("{{ nothing.x }}", "'nothing' is undefined"),
        ("{{ None * 2 }}", "TypeError: "),
        ("{{ ''.__class__.__mro__ }}", "access to attribute '__class__' of 'str'"),
        ("{{ messages[0].update(a=1) }}", "access to attribute 'update' of 'dict'"),
        ("{% include '/etc/passwd' %}", "no loader"),
        ("{% set ns = namespace(__class__=1) %}", "cannot have a name '__class__'"),
        ("{% set ns = namespace() %}{% set ns._a = 1 %}", "cannot have a name '_a'"),
    ],
)
def test_what_a_template_cannot_do_is_one_line(source, message):
    with pytest.raises(ValueError, match=f"chat_template: .*{message}") as caught:
        render(source)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) <= 420


@pytest.mark.parametrize(
    "source",
    [
        "{{ 9 ** 9 ** 9 }}",
        "{{ 2 ** 10 }}",
        "{{ 'a' * 10000000000 }}",
        "{{ [0] * 10000000000 }}",
        "{{ range(10000000000) | list }}",
        "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}"
        "{% endfor %}",
        "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}"
        "{% endmacro %}{{ f(40) }}",
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        "{{ " + "(" * 5000,
    ],
)
def test_a_template_that_would_not_end_is_refused(source):
    start = time.process_time()
    with pytest.raises(ValueError, match=r"^chat_template: "):
        render(source)
    assert time.process_time() - start < 30


@pytest.mark.parametrize(
    "source",
    [
        CHAT_TEMPLATE + "\n",
        CHAT_TEMPLATE + "\n\n",  # the first is that of a block, which is dropped
        CHAT_TEMPLATE.replace("'", '"'),
        CHAT_TEMPLATE.replace("%}{", "%}\n{", 1) + "\r\n",
        "{# of 2B4T #}" + CHAT_TEMPLATE.replace(" %}", "%}").replace("}}", "  }}"),
    ],
)
def test_a_template_is_the_same_in_another_spelling(source):
    assert jinja.same(source, CHAT_TEMPLATE)


@pytest.mark.parametrize(
    "source",
    [
        CHAT_TEMPLATE + "\n\n\n",
        CHAT_TEMPLATE.replace("| trim", ""),
        CHAT_TEMPLATE.replace("'Assistant: '", "'Assistant:'"),
        CHAT_TEMPLATE[:-3],
        "{{ " + "(" * 5000,
    ],
)
def test_another_template_is_not_the_same(source):
    assert not jinja.same(source, CHAT_TEMPLATE)
