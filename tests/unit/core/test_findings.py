from typing import Annotated

import pytest
from pydantic import AfterValidator, TypeAdapter, ValidationError

from artstore.core.model.account import ClientId
from artstore.core.model.file import Sha256
from artstore.core.model.findings import told
from artstore.core.model.ids import CollectionName


def _refuse(text: str) -> str:
    raise ValueError(f"no {text}")


@pytest.mark.parametrize(
    ("kind", "value", "words"),
    [
        (CollectionName, "Договоры", "lower-case Latin letters"),
        (ClientId, "NAME", "lower-case Latin letters"),
        (Sha256, "zz", "64 hexadecimal digits"),
        (Annotated[str, AfterValidator(_refuse)], "x", "no x"),
        (bool, "x", "Input should be a valid boolean"),
    ],
)
def test_a_malformed_value_is_described_in_words(kind: object, value: str, words: str) -> None:
    with pytest.raises(ValidationError) as refused:
        TypeAdapter(kind).validate_python(value)

    text = told(refused.value.errors()[0])

    assert words in text
    assert "^" not in text
    assert "Value error" not in text
