"""Which files of a tree are meant: patterns as of a shell, on paths within the tree."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

Pattern: TypeAlias = re.Pattern[str]

_TOKEN: Final = re.compile(r"\*\*/|\*\*|\*|\?|\[[!^]?\]?[^]]*\]|.", re.DOTALL)
_WILD: Final = {"**/": "(?:[^/]+/)*", "**": ".*", "*": "[^/]*", "?": "[^/]"}


@dataclass(frozen=True, slots=True)
class Selection:
    """A pattern with a slash means a path from the tree's top, one without any name in it.
    What matches a folder holds for everything below it. To exclude is stronger."""

    includes: tuple[Pattern, ...] = ()
    """Empty for everything."""
    excludes: tuple[Pattern, ...] = ()

    @classmethod
    def of(cls, includes: Sequence[str], excludes: Sequence[str]) -> "Selection":
        return cls(tuple(map(compiled, includes)), tuple(map(compiled, excludes)))

    def excludes_path(self, path: str) -> bool:
        """Of a file or folder, all folders above it being taken."""
        return _matches(self.excludes, path)

    def takes_file(self, path: str) -> bool:
        if _matches(self.excludes, path):
            return False
        return not self.includes or any(_matches(self.includes, part) for part in _and_above(path))


EVERYTHING: Final = Selection()


def compiled(pattern: str) -> Pattern:
    """`*` and `?` stay within a name, `**` crosses folders, `[a-z]` is one of these."""
    anchored = "/" in pattern.rstrip("/")
    expression = "".join(map(_expression, _TOKEN.findall(pattern.strip("/"))))
    return re.compile(expression if anchored else f"(?:.*/)?{expression}", re.DOTALL)


def _expression(token: str) -> str:
    if token in _WILD:
        return _WILD[token]
    if len(token) > 1:
        inner = token[1:-1].replace("\\", r"\\").replace("[", r"\[")
        negated = inner[:1] in ("!", "^")
        members = inner[1:] if negated else inner
        return f"[{'^/' if negated else ''}{members.replace(']', chr(92) + ']')}]"
    return re.escape(token)


def _matches(patterns: Sequence[Pattern], path: str) -> bool:
    return any(pattern.fullmatch(path) for pattern in patterns)


def _and_above(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:count]) for count in range(len(parts), 0, -1)]
