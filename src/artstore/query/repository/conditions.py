"""Criteria as SQL conditions on the catalogue."""

import re
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, and_, cast, func, literal, not_, or_
from sqlalchemy.dialects.postgresql import JSONB, REGCONFIG, TSQUERY, TSVECTOR

from artstore.core.catalogue import SEARCH_CONFIGURATIONS, files
from artstore.query.model.criteria import Criteria
from artstore.query.model.words import Words, parse_words

NUL_STANDS_AS: Final = "\ufffd"
"""PostgreSQL cannot hold NUL; the catalogue has this in its place."""

_LIKE_SIGNS: Final = re.compile(r"[\\%_]")


Visible = frozenset[str] | None
"""The collections that the caller may read; `None`: all."""


def conditions(criteria: Criteria, visible: Visible) -> list[ColumnElement[bool]]:
    return [
        files.c.state == "present",
        *([] if visible is None else [files.c.collection.in_(sorted(visible))]),
        *_paging_conditions(criteria),
        *_plain_conditions(criteria),
        *_word_conditions(criteria.q),
        *_tag_conditions(criteria),
        *(_contains_one(alternatives) for alternatives in criteria.metadata_alternatives()),
    ]


def is_selective(criteria: Criteria) -> bool:
    """Whether an index can pick out the matches, so that collecting them first pays."""
    return bool(
        criteria.q.strip() or criteria.tag or criteria.sha256 or criteria.metadata_alternatives()
    )


def name_contains(part: str) -> ColumnElement[bool]:
    literal_part = _LIKE_SIGNS.sub(r"\\\g<0>", _storable(part.strip()))
    return func.lower(files.c.original_filename).like(func.lower(f"%{literal_part}%"))


def _paging_conditions(criteria: Criteria) -> list[ColumnElement[bool]]:
    after = criteria.after
    return [files.c.file_id < UUID(after)] if after else []


def _plain_conditions(criteria: Criteria) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if criteria.collection is not None:
        found.append(files.c.collection == criteria.collection)
    if criteria.content_type is not None:
        found.append(_has_type(_storable(criteria.content_type)))
    if criteria.sha256 is not None:
        found.append(files.c.sha256 == bytes.fromhex(criteria.sha256))
    if criteria.scan is not None:
        found.append(files.c.scan == criteria.scan)
    if criteria.size_min is not None:
        found.append(files.c.size_bytes >= criteria.size_min)
    if criteria.size_max is not None:
        found.append(files.c.size_bytes <= criteria.size_max)
    if criteria.uploaded_after is not None:
        found.append(files.c.uploaded_at >= criteria.uploaded_after)
    if criteria.uploaded_before is not None:
        found.append(files.c.uploaded_at < criteria.uploaded_before)
    return found


def _has_type(content_type: str) -> ColumnElement[bool]:
    if content_type.endswith("/*"):
        return files.c.content_type.startswith(content_type[:-1], autoescape=True)
    return files.c.content_type == content_type


def _tag_conditions(criteria: Criteria) -> list[ColumnElement[bool]]:
    if not criteria.tag:
        return []
    return [files.c.tags.contains([_storable(tag) for tag in criteria.tag])]


def _contains_one(alternatives: list[dict[str, Any]]) -> ColumnElement[bool]:
    return or_(*(files.c.metadata.contains(cast(_storable(item), JSONB)) for item in alternatives))


def _word_conditions(query: str) -> list[ColumnElement[bool]]:
    if not query.strip():
        return []
    words = parse_words(query)
    if not words:
        # Only signs, no word: the index holds nothing of the kind.
        return [literal(value=False)]
    return [
        *_required(words),
        *(_has_phrase(phrase) for phrase in words.phrases),
        *(not_(_has_phrase(text)) for text in words.excluded),
    ]


def _has_phrase(text: str) -> ColumnElement[bool]:
    """`files.search` holds the text once for each language, one behind the other, so there its
    first word stands beside its last. Whether words do so in one language is looked up in the
    texts, of those files that the index picks out."""
    found = _found(_in_any_language(func.phraseto_tsquery, text))
    return and_(found, _stands_together(text)) if " " in text else found


def _stands_together(phrase: str) -> ColumnElement[bool]:
    languages = [cast(name, REGCONFIG) for name in SEARCH_CONFIGURATIONS]
    return or_(
        *(
            func.to_tsvector(language, files.c.search_text, type_=TSVECTOR).bool_op("@@")(
                func.phraseto_tsquery(language, phrase, type_=TSQUERY)
            )
            for language in languages
        )
    )


def _found(text_query: ColumnElement[Any]) -> ColumnElement[bool]:
    return files.c.search.bool_op("@@")(text_query)


def _required(words: Words) -> list[ColumnElement[bool]]:
    return [_found(_all_of(words))] if words.required else []


def _all_of(words: Words) -> ColumnElement[Any]:
    whole = _in_any_language(func.plainto_tsquery, words.required)
    if words.last_begun is None:
        return whole
    # The word holds letters and digits only, so nothing in it can end the quotes.
    begun: ColumnElement[Any] = func.to_tsquery(
        cast("simple", REGCONFIG), f"'{words.last_begun}':*", type_=TSQUERY
    )
    before = words.required_before_last
    if before:
        begun = _joined("&&", [_in_any_language(func.plainto_tsquery, before), begun])
    return _joined("||", [whole, begun])


def _in_any_language(to_query: Any, text: str) -> ColumnElement[Any]:
    queries = [
        to_query(cast(name, REGCONFIG), text, type_=TSQUERY) for name in SEARCH_CONFIGURATIONS
    ]
    return _joined("||", queries)


def _joined(operator: str, parts: list[ColumnElement[Any]]) -> ColumnElement[Any]:
    joined = parts[0]
    for part in parts[1:]:
        joined = joined.op(operator, return_type=TSQUERY())(part)
    return joined.self_group() if len(parts) > 1 else joined


def _storable(value: Any) -> Any:
    """The value as the catalogue holds it."""
    match value:
        case str():
            return value.replace("\0", NUL_STANDS_AS)
        case dict():
            return {_storable(key): _storable(item) for key, item in value.items()}
        case list():
            return [_storable(item) for item in value]
    return value
