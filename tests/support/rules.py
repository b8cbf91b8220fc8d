"""Rules of admission without an admin module."""

from dataclasses import dataclass, field

from artstore.core.clock import SystemClock
from artstore.core.errors import ArtStoreError
from artstore.core.model.admission import AdmissionRules
from artstore.core.model.ids import FileId
from artstore.ingester.services.detection import Detector
from artstore.ingester.services.inspection import Inspector
from artstore.ingester.services.intake import Earlier, Intake, Writer
from artstore.ingester.services.placement import ElementReport, Placement
from artstore.ingester.services.rules import CachedRules
from artstore.ingester.services.scanning import Scanning


@dataclass
class RulesGiven:
    rules: AdmissionRules = field(default_factory=AdmissionRules)
    failure: ArtStoreError | None = None

    async def admission_rules(self) -> AdmissionRules:
        if self.failure is not None:
            raise self.failure
        return self.rules


async def admitting_intake(placement: Placement, writer: Writer) -> Intake:
    """With the rules of everybody."""
    rules = CachedRules(RulesGiven(), SystemClock(), refresh_s=60)
    await rules.refresh()
    inspector = Inspector(Detector(), Scanning(None, SystemClock()))
    earlier = Earlier(placement.directory, NoRecords(), SystemClock())
    return Intake(
        placement, writer, SystemClock(), rules=rules, inspector=inspector, earlier=earlier
    )


class NoRecords:
    async def record(self, _: ElementReport, __: FileId) -> None:
        return None
