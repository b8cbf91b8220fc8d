"""Deposit receipts through the API, as flows. Format: docs/formats/deposit-receipt.md."""

from typing import Final
from uuid import UUID

from artstore.client.calls import Calls, parse
from artstore.client.messages import Flow, Request
from artstore.client.results import GivenReceipt
from artstore.core.model.ids import parse_file_id

RECEIPTS: Final = "/api/v1/receipts"
KEYS: Final = "/.well-known/receipt-keys.json"


def receipt(calls: Calls, file_id: str) -> Flow[str]:
    request = Request("GET", f"{RECEIPTS}/{UUID(parse_file_id(file_id))}")
    return parse(GivenReceipt, (yield from calls.call(request))).receipt


def receipt_keys(calls: Calls) -> Flow[bytes]:
    answer = yield from calls.call(Request("GET", KEYS))
    return answer.body
