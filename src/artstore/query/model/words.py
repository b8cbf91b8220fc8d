"""What a person types into the search box, taken apart. Pure.

`annual report_2024 "board meeting" -draft`: all these words, these two side by side, and not
that one. Words are cut exactly as in the index (`core.catalogue.search_words`), so any part
of `report_2024.pdf` finds it.
"""

import re
from dataclasses import dataclass
from typing import Final

from artstore.core.catalogue import search_words

PREFIX_CHARS_MIN: Final = 2
"""One letter begins too many words to be worth a look."""

_PIECE: Final = re.compile(r'(?P<minus>-?)"(?P<phrase>[^"]*)"?|(?P<word>\S+)')


@dataclass(frozen=True, slots=True)
class Words:
    """What to look for; every text consists of words with a space between them."""

    required: str = ""
    """Each of these words, in any place."""
    phrases: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    """What must not be there: all words of one of these."""
    last_begun: str | None = None
    """The last of `required`: it may be the beginning of a word, as the person still types."""

    @property
    def required_before_last(self) -> str:
        return self.required.rpartition(" ")[0]

    def __bool__(self) -> bool:
        return bool(self.required or self.phrases or self.excluded)


def parse_words(query: str) -> Words:
    required: list[str] = []
    phrases: list[str] = []
    excluded: list[str] = []
    ends_with_word = False
    for piece in _PIECE.finditer(query):
        words, target = _words_of(piece, required, phrases, excluded)
        if words:
            target.append(words)
        ends_with_word = target is required and bool(words)
    text = " ".join(required)
    last = text.rpartition(" ")[2]
    begun = last if ends_with_word and len(last) >= PREFIX_CHARS_MIN else None
    return Words(text, tuple(phrases), tuple(excluded), begun)


def _words_of(
    piece: re.Match[str], required: list[str], phrases: list[str], excluded: list[str]
) -> tuple[str, list[str]]:
    """The words of a piece, and the list it belongs to."""
    phrase, word = piece["phrase"], piece["word"]
    if phrase is not None:
        return search_words(phrase), excluded if piece["minus"] else phrases
    return search_words(word), excluded if word.startswith("-") else required
