"""The words of tus 1.0, read from headers. Pure."""

import base64
import binascii
from collections.abc import Mapping
from typing import Final, get_args

from pydantic import TypeAdapter, ValidationError

from artstore.core.errors import InvalidMetadata, InvalidRequest, UnsupportedTusVersion
from artstore.core.model.file import Sha256, Tags
from artstore.core.model.open_upload import ChecksumAlgorithm
from artstore.ingester.services.open_uploads import ExpectedChecksum
from artstore.ingester.services.submission import Fields, decode_value

VERSION: Final = "1.0.0"
EXTENSIONS: Final = "creation,creation-with-upload,expiration,checksum,termination"
ALGORITHMS: Final[tuple[ChecksumAlgorithm, ...]] = get_args(ChecksumAlgorithm)

_ALIASES: Final[Mapping[str, str]] = {"name": "filename", "type": "filetype"}
"""What the common browser clients say for themselves."""
_IGNORED: Final = frozenset({"relativePath"})
_TAGS: Final = TypeAdapter(Tags)
_SHA256: Final = TypeAdapter(Sha256)


class UploadMetadata:
    """`Upload-Metadata`: pairs of a key and a value in base64.

    Keys are the fields of an upload (`filename`, `collection`, `retention`, `metadata`), and
    `filetype`, `tags` (a JSON list, since no key may come twice) and `sha256` (in hex).

    Raises:
        InvalidMetadata: A pair is malformed; `field` names it.
    """

    def __init__(self, header: str) -> None:
        values = _parse_pairs(header)
        for alias, name in _ALIASES.items():
            value = values.pop(alias, None)
            if value is not None:
                values.setdefault(name, value)
        for name in _IGNORED:
            values.pop(name, None)
        self.content_type = values.pop("filetype", None) or None
        self.expected_sha256 = _checked(_SHA256, values.pop("sha256", None), "sha256")
        tags = values.pop("tags", None)
        self.fields: Fields = list(values.items())
        if tags is not None:
            self.fields += [("tag", tag) for tag in _json_tags(tags)]


def check_version(header: str | None) -> None:
    """Raises `UnsupportedTusVersion`."""
    if header != VERSION:
        raise UnsupportedTusVersion(f"send Tus-Resumable: {VERSION}")


def parse_number(name: str, header: str | None) -> int:
    """Raises `InvalidRequest`: it is missing, or not a number of 0 or more."""
    if header is None or not (header.isascii() and header.isdigit()) or len(header) > 19:
        raise InvalidRequest(f"{name} must be a number of bytes", field=name.lower())
    return int(header)


def parse_checksum(header: str | None) -> ExpectedChecksum | None:
    """Raises:
    InvalidRequest: An algorithm we do not know, or no digest of it.
    """
    if header is None:
        return None
    name, _, value = header.strip().partition(" ")
    for algorithm in ALGORITHMS:
        if name == algorithm:
            return ExpectedChecksum(algorithm, _digest(algorithm, value).hex())
    raise InvalidRequest(
        f"Upload-Checksum may use {', '.join(ALGORITHMS)}", field="upload-checksum"
    )


def _digest(algorithm: ChecksumAlgorithm, value: str) -> bytes:
    digest = _decode_base64(value)
    if digest is None or len(digest) != {"sha1": 20, "sha256": 32}[algorithm]:
        raise InvalidRequest(
            f"Upload-Checksum must be {algorithm} and its value in base64", field="upload-checksum"
        )
    return digest


def _parse_pairs(header: str) -> dict[str, str]:
    values: dict[str, str] = {}
    for pair in header.split(",") if header.strip() else ():
        name, _, encoded = pair.strip().partition(" ")
        value = _decode_base64(encoded)
        if not name or value is None:
            raise InvalidMetadata(
                "Upload-Metadata must be pairs of a name and a value in base64",
                field=name[:64] or "upload-metadata",
            )
        if name in values:
            raise InvalidMetadata(f"{name} is given twice", field=name[:64])
        values[name] = decode_value(name, value)
    return values


def _decode_base64(text: str) -> bytes | None:
    try:
        return base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        return None


def _json_tags(text: str) -> tuple[str, ...]:
    try:
        return _TAGS.validate_json(text)
    except ValidationError:
        raise InvalidMetadata("tags must be a JSON list of texts", field="tags") from None


def _checked(adapter: TypeAdapter[str], value: str | None, field: str) -> str | None:
    if value is None:
        return None
    try:
        return adapter.validate_python(value)
    except ValidationError:
        raise InvalidMetadata(f"{field} must be 64 lower-case hex digits", field=field) from None
