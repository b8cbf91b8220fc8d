"""Rules of admission without an admin module."""

from dataclasses import dataclass, field

from artstore.core.clock import SystemClock
from artstore.core.errors import ArtStoreError
from artstore.core.model.admission import AdmissionRules
from artstore.ingester.services.detection import Detector
from artstore.ingester.services.inspection import Inspector
from artstore.ingester.services.intake import Intake, Writer
from artstore.ingester.services.placement import Placement
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
    return Intake(placement, writer, SystemClock(), rules=rules, inspector=inspector)
