"""native/observe/outcomes.c."""

from .observe.outcomes import Throttle
from .observe.records import InvocationRecord

_Values = tuple[float, float, float, dict[int, float]]  # sum, lowest, highest, and how many each bucket has

class OutcomeCounts:
    """What the outcomes of one version add up to, since they were last taken."""

    def ended(self, records: list[InvocationRecord], /) -> None: ...
    def quiet(self, times: bytes, /) -> None:
        """As QuietOnes has them (observe/outcomes.py)."""
    def throttled(self, throttles: list[Throttle], /) -> None: ...
    def take(self) -> list[tuple[int, str, int, int, int, int, int, _Values]]:
        """For each minute since the epoch and alias: invocations, errors, throttles, provisioned, spilled, and the
        durations in milliseconds."""
