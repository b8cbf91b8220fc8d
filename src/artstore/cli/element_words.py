"""How storage elements are described to people, and what they may do next."""

from collections.abc import Mapping
from typing import Any, Final

from artstore.cli.output import size_text
from artstore.cli.waiting import Standing

COLUMNS: Final = (
    "element_id", "mode", "free", "catalogue", "scrub", "damaged", "missing", "drain"
)  # fmt: skip

Fields = Mapping[str, Any]


def summary(element: Fields) -> dict[str, str]:
    """One line of `elements list`."""
    info = element["info"] or {}
    return {
        "element_id": element["element_id"],
        "mode": _mode(info),
        "free": _free(info),
        "catalogue": _catalogue(element),
        "scrub": _scrub(info.get("scrub")),
        "damaged": str(element["copies_damaged"] or ""),
        "missing": str(element["copies_missing"] or ""),
        "drain": _drain(element),
    }


def scrub_words(element_id: str, status: Fields) -> str:
    found = f"{status['open_findings']} open findings"
    match status["state"]:
        case "running":
            look = f"look again with: artstore elements scrub {element_id} --action status"
            return f"{element_id} is being scrubbed, {status['progress_ratio']:.0%}; {look}"
        case "paused":
            go_on = f"go on with: artstore elements scrub {element_id} --action resume"
            return f"the scrub of {element_id} is paused; {go_on}"
    last = status["last_completed_at"] or "never"
    return f"{element_id} was last read as a whole: {last}; {found}"


def scrub_standing(status: Fields) -> Standing:
    text = f"{size_text(status['checked_bytes'])}, {status['findings']} findings"
    return Standing(status["progress_ratio"], text, status["state"] != "running")


def drain_words(element: Fields) -> str:
    element_id = element["element_id"]
    match element["drain"]:
        case "drained":
            return f"{element_id} is drained. Next: artstore elements remove {element_id}"
        case "draining":
            left = element["files_left"]
            look = "look again with: artstore elements list; why files wait: artstore jobs list"
            return f"{element_id} gets no new files, {left} are left to copy; {look}"
    return f"{element_id} takes new files again"


class DrainStanding:
    """How far a drain is, by the most files that were ever seen to be left."""

    def __init__(self) -> None:
        self._total = 1

    def of(self, element: Fields) -> Standing:
        left = element["files_left"] or 0
        self._total = max(self._total, left)
        text = f"{left} files left"
        return Standing(1 - left / self._total, text, element["drain"] != "draining")


def _mode(info: Fields) -> str:
    """With how far its archive is, in mode `ar`."""
    archive = info.get("archive")
    if archive is None:
        return str(info.get("mode", "does not answer"))
    if archive["trouble"]:
        return f"ar ({archive['trouble']})"
    return "ar" if archive["complete"] else f"ar ({archive['moved_files']} files moved)"


def _free(info: Fields) -> str:
    capacity = info.get("capacity")
    if capacity is None:
        return ""
    available = max(0, capacity["free"] - capacity["reserved"])
    state = capacity.get("state", "ok")
    return size_text(available) + ("" if state == "ok" else f" ({state})")


def _catalogue(element: Fields) -> str:
    if element["trouble"]:
        return str(element["trouble"])
    if element["state"] != "following":
        return "being listed"
    behind = element["behind"]
    return f"{behind} behind" if behind else "up to date"


def _scrub(scrub: Fields | None) -> str:
    if scrub is None:
        return ""
    if scrub["state"] == "running":
        return f"{scrub['progress_ratio']:.0%}"
    findings = scrub["open_findings"]
    if findings:
        return f"{findings} findings"
    return str(scrub["last_completed_at"] or "not yet")[:10]


def _drain(element: Fields) -> str:
    if element["drain"] == "off":
        return ""
    if element["drain"] == "draining":
        return f"{element['files_left']} files left"
    return "drained"
