"""Checks deposit receipts and says in plain sentences what is true."""

import hashlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import typer

from artstore.cli.output import print_json, print_line
from artstore.client.store import ArtStore
from artstore.core.audit.receipts import InvalidReceipt, KeySet, Receipt, read_parts

DASH = Path("-")


@dataclass(frozen=True)
class Content:
    """Of a document at hand."""

    size: int
    sha256: str


def check_receipts(
    source: Path, jwks: Path | None, document: Path | None, *, as_json: bool
) -> bool:
    """Whether all is true; what was found is printed.

    Raises:
        typer.BadParameter: There is nothing to check, or the keys are none.
    """
    tokens = list(_receipts_in(source))
    if not tokens:
        raise typer.BadParameter("there is no receipt in it", param_hint="RECEIPTS")
    if document is not None and len(tokens) > 1:
        raise typer.BadParameter("a document has one receipt", param_hint="--document")
    content = _content_of(document) if document is not None else None
    if len(tokens) > 1 and not any(map(_looks_like_one, tokens)):
        raise typer.BadParameter("there is no receipt in it", param_hint="RECEIPTS")
    keys = _keys(jwks)
    verdicts = [_check(token, keys, content, as_json=as_json) for token in tokens]
    return all(verdicts)


def _receipts_in(source: Path) -> Iterator[str]:
    """A receipt a line, or the lines of `artstore put --json`."""
    data = sys.stdin.buffer.read() if source == DASH else source.read_bytes()
    for raw in data.splitlines():
        line = raw.strip()
        if line.startswith(b"{"):
            yield _member(line)
        elif line:
            yield line.decode("utf-8", "replace")


def _looks_like_one(token: str) -> bool:
    try:
        read_parts(token)
    except InvalidReceipt:
        return False
    return True


def _member(line: bytes) -> str:
    try:
        receipt = orjson.loads(line)["receipt"]
    except (ValueError, KeyError):
        receipt = None
    if not isinstance(receipt, str):
        raise typer.BadParameter(
            f"a line holds no receipt: {line[:60].decode('utf-8', 'replace')}...",
            param_hint="RECEIPTS",
        )
    return receipt


def _keys(jwks: Path | None) -> KeySet:
    try:
        if jwks is not None:
            return KeySet.parse(jwks.read_bytes())
        with ArtStore.from_home() as store:
            return KeySet.parse(store.receipt_keys())
    except InvalidReceipt as error:
        raise typer.BadParameter(str(error), param_hint="--jwks") from None


def _content_of(document: Path) -> Content:
    with document.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
        return Content(file.tell(), digest.hexdigest())


def _check(token: str, keys: KeySet, content: Content | None, *, as_json: bool) -> bool:
    try:
        receipt = keys.verify(token)
        _compare(receipt, content)
    except InvalidReceipt as error:
        if as_json:
            print_json({"proven": False, "sentence": str(error)})
        else:
            print_line(f"NOT PROVEN. {_sentence(str(error))}")
        return False
    if as_json:
        print_json({"proven": True, **_fields(receipt, content)})
    else:
        print_line(_told(receipt, content))
    return True


def _compare(receipt: Receipt, content: Content | None) -> None:
    if content is not None and content != Content(receipt.size, receipt.sha256):
        raise InvalidReceipt(
            f"the receipt is true, but for another document: it is for {receipt.size} bytes with "
            f"the SHA-256 {receipt.sha256}; this one has {content.size} with {content.sha256}"
        )


def _fields(receipt: Receipt, content: Content | None) -> dict[str, Any]:
    return {
        **receipt.model_dump(mode="json"),
        "signed_at": receipt.signed_at.isoformat(),
        "document_compared": content is not None,
    }


def _told(receipt: Receipt, content: Content | None) -> str:
    compared = (
        "This document is it, byte for byte."
        if content is not None
        else "No document was compared with it (--document)."
    )
    return (
        f"PROVEN. {receipt.iss} has signed on {receipt.signed_at:%Y-%m-%d %H:%M:%S} UTC that it "
        f"holds file {receipt.file_id}, deposited at {receipt.deposited_at} by "
        f"{receipt.account}: {receipt.size} bytes, SHA-256 {receipt.sha256}. {compared}"
    )


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."
