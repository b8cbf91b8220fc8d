"""RFC 8785, compared with the implementation of Trail of Bits."""

import json
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from artstore.core.canonical_json import INTEGER_MAX, NotCanonical, canonical_json

texts = st.text(st.characters(exclude_categories=["Cs"]))
keys = st.text(st.characters(max_codepoint=127))
integers = st.integers(-INTEGER_MAX, INTEGER_MAX)
values = st.recursive(
    st.none() | st.booleans() | integers | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=20,
)


@given(values)
def test_we_spell_as_others_do(value: Any) -> None:
    assert canonical_json(value) == rfc8785.dumps(value)


@given(values)
def test_the_standard_library_spells_the_same(value: Any) -> None:
    """What verify.py in a proof bundle relies on."""
    spelled = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)

    assert canonical_json(value) == spelled.encode()


@given(values)
def test_a_value_comes_back(value: Any) -> None:
    assert json.loads(canonical_json(value)) == value


@pytest.mark.parametrize(
    "value",
    [
        1.5,
        float("nan"),
        INTEGER_MAX + 1,
        -INTEGER_MAX - 1,
        "\ud800",
        {"ключ": 1},
        {1: "a"},
        {"a": [{"b": b"bytes"}]},
        {"a": object()},
    ],
)
def test_what_programs_may_spell_differently_is_refused(value: Any) -> None:
    with pytest.raises(NotCanonical):
        canonical_json(value)
