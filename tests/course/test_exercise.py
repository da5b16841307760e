"""What a check says: of an answer that is there, right, wrong, or stops."""

import math
import re
from functools import partial

import numpy as np
import pytest

from minibitnet.course.exercise import Exercise


def doubled(x):
    return 2 * x


ROW = np.array([2.0, 3.0])
MATRIX = np.random.default_rng(0).standard_normal((3, 4))
CHECK = Exercise(
    right=doubled,
    mistakes={"You squared.": np.square, "You halved.": (lambda x: x / 2, np.sqrt)},
    cases=[(ROW,), (MATRIX,), (np.array([0.0, -1000.0]),)],
)


def test_an_answer_is_right_or_not_there_or_known():
    assert repr(CHECK(doubled)) == "Right."
    assert CHECK(...).right is None
    assert CHECK(lambda x: ...).right is None
    for mistake in (np.square, lambda x: x / 2, np.sqrt):
        verdict = CHECK(mistake)
        assert verdict.right is False
        assert verdict.text in ("Not right. You squared.", "Not right. You halved.")


def test_a_verdict_says_where_an_answer_differs():
    assert repr(CHECK(partial(np.add, 3))) == (
        "Not right. Different: 1 of 2 numbers.\n"
        "For x = [2. 3.].\nexpected [4. 6.]\ngot [5. 6.]"
    )
    assert repr(CHECK(lambda x: 2 * x if x.ndim == 1 else -2 * x)).startswith(
        "Not right. Every sign is the wrong one.\nFor x of shape (3, 4).\nThe first at"
    )
    assert "Expected shape (2,), got ()." in repr(CHECK(np.sum))


def test_a_mistake_is_known_though_it_does_not_stay_finite():
    def squared(x):
        return np.where(np.abs(x) > 100, np.nan, np.square(x))

    assert "You squared." in CHECK(squared).text
    assert "NaN" in CHECK(lambda x: np.where(np.abs(x) > 100, np.nan, 2 * x)).text


def test_an_answer_that_stops_is_told_by_its_own_line():
    def helper(x):
        return x @ np.ones((3, 3))

    def stopping(x):
        y = doubled(x)
        return helper(y)  # deep inside

    said = CHECK(stopping).text
    assert said.startswith("Not right. It stops with ValueError: matmul: ")
    line = helper.__code__.co_firstlineno + 1
    assert f"\nin your line {line}: return x @ np.ones((3, 3))\n" in said
    assert said.endswith("\nFor x = [2. 3.].")
    assert len(said.splitlines()) <= 8
    assert "in your line" not in CHECK(lambda: 1).text  # it could not be called
    assert "It stops with TypeError" in CHECK(lambda: 1).text
    assert "return np.linalg.inv(x)" in CHECK(lambda_of_a_library).text


def lambda_of_a_library(x):
    return np.linalg.inv(x)


def test_a_line_is_short_and_has_no_control_characters():
    def shouting(x):
        raise ValueError("\x1b[31mred\n" + "long " * 1000)

    said = CHECK(shouting).text
    assert "\\x1b[31mred long" in said
    assert "\x1b" not in said
    assert max(map(len, said.splitlines())) < 180


def test_what_is_wrong_before_an_answer_stops_is_said():
    def stopping(x):
        return np.square(x) if x.ndim == 1 else 1 / 0

    assert CHECK(stopping).text == "Not right. You squared."


def test_what_may_be_several_mistakes_is_called_none():
    zero = np.zeros(3)
    check = Exercise(
        right=lambda x: np.cos(x),
        mistakes={"You took the sine.": np.sin, "You took the tangent.": np.tan},
        cases=[(zero,), (zero + 1,)],
    )
    assert check(np.sin).text == "Not right. You took the sine."

    def stopping(x):
        return np.sin(x) if not x.any() else 1 / 0

    assert check(stopping).text.startswith("Not right. All numbers are 0.")


def test_what_is_no_array_of_numbers_is_said_to_be_none():
    assert "Expected numbers, as one array, got tuple of object." in repr(
        CHECK(lambda x: (x, 1))
    )
    nothing = CHECK(lambda x: None)
    assert repr(nothing) == "Not right. It is None: is there a return?"
    assert "got str" in repr(CHECK(str))
    flags = CHECK(lambda x: x > 0)
    assert "one array, got ndarray of bool." in repr(flags)
    assert "Expected a function (its name, not a call of it), got ndarray." in repr(
        CHECK(doubled(ROW))
    )


def test_a_list_is_an_array():
    assert CHECK(lambda x: doubled(x).tolist()).right
    assert CHECK(lambda x: tuple(doubled(x))).right


def test_values_are_judged_without_telling_them():
    check = Exercise(right=12, mistakes={"That is a dozen too many.": 24})
    assert check(12.0).right
    assert repr(check(24)) == "Not right. That is a dozen too many."
    assert repr(check(13)) == "Not right. It is too large."
    assert repr(check(-13.5)) == "Not right. It is too small."
    assert repr(check(-12)) == "Not right. The sign is wrong."
    assert repr(check(math.nan)) == "Not right. It is not finite."
    assert repr(check([12])) == "Not right. Expected one number."
    assert "got str" in repr(check("layers.0.attn_weights"))
    assert "It is None" in repr(check(None))
    assert "got function" in repr(check(doubled))
    several = Exercise(right=[3, 1, 2])
    assert several((3, 1, 2)).right
    assert repr(several([3, 2, 1])) == "Not right. 1 of 3 numbers are right."
    assert repr(several(3)) == "Not right. Expected a list of 3 numbers."


def test_a_check_shows_no_answer():
    for check in (CHECK, Exercise(right=123456, mistakes={"So near!": 123457})):
        for shown in (repr(check), str(check), f"{check}", " ".join(dir(check))):
            assert not re.search("1234|doubled|right|near|function|array", shown)
    assert "12345" not in repr(Exercise(right=123456)(7))


def test_a_dtype_is_held_where_it_is_asked_for():
    narrow = Exercise(right=lambda x: (2 * x).astype(np.float32), cases=[(ROW,)])
    assert narrow(doubled).right
    held = Exercise(
        right=narrow.right,
        mistakes={"That is float64.": doubled, "You squared.": np.square},
        cases=narrow.cases,
        dtype=True,
    )
    assert held(narrow.right).right
    assert held(doubled).text == "Not right. That is float64."
    assert held(np.square).text == "Not right. You squared."
    unnamed = Exercise(right=narrow.right, cases=narrow.cases, dtype=True)
    assert unnamed(doubled).text.startswith(
        "Not right. The right numbers, as float64. Expected float32.\nFor x = [2. 3.]."
    )


def test_an_answer_cannot_change_the_cases():
    def in_place(x):
        x *= 2
        return x

    before = [case[0].copy() for case in CHECK.cases]
    verdict = CHECK(in_place)
    assert verdict.right
    assert repr(verdict) == "Right. But: It writes into x, which is not its own."
    for (case,), old in zip(CHECK.cases, before, strict=True):
        np.testing.assert_array_equal(case, old)

    def in_place_and_wrong(x):
        x += 1
        return x

    assert "It writes into x" in CHECK(in_place_and_wrong).text


def test_what_an_answer_returns_is_kept_as_it_was():
    out = np.empty(2)
    check = Exercise(right=doubled, cases=[(ROW,), (ROW + 1,)])
    assert check(lambda x: np.multiply(x, 2, out=out)).right

    total = []

    def remembering(x):
        total.extend(x)
        return 2 * np.array(total)

    assert "Expected shape (2,), got (4,)" in check(remembering).text


def test_warnings_say_nothing_more():
    check = Exercise(right=doubled, cases=[(np.array([0.0, 1.0]),)])
    said = check(lambda x: x / x).text
    assert said.startswith("Not right. NaN or infinite: 1 of 2 numbers.")


def test_how_numpy_was_set_makes_no_difference():
    with np.errstate(all="raise"):
        assert CHECK(doubled).right
        said = CHECK(lambda x: x / 0).text
    assert said.startswith("Not right. NaN or infinite: 2 of 2 numbers.")


def test_texts_are_arguments_too():
    check = Exercise(right=len, cases=[("a text",), ("  longer  ",)])
    assert check(len).right
    said = check(lambda text: len(text.strip())).text
    assert "For obj = '  longer  '." in said
    long = Exercise(right=len, cases=[(1000 * "long ",)])
    assert max(map(len, long(lambda text: 0).text.splitlines())) < 180


@pytest.mark.parametrize(
    "wrong", [7, [1.0], "text", None, object(), {}, 1j, True, b"1"]
)
def test_anything_else_is_not_right(wrong):
    for check in (CHECK, Exercise(right=1)):
        for answer in (wrong, lambda x: wrong):
            verdict = check(answer)
            assert verdict.right is False
            assert len(verdict.text) < 500
