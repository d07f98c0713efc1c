"""receive: what is told of payments is written down once, and only then answered 200 (or its offset committed). It is a
hint to ask: forged, repeated, late and reordered ones decide nothing."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from app.domain.errors import refusal
from app.domain.payments import Notice, PaymentLedger, Verifier


@dataclass(frozen=True, slots=True)
class Receive:
    payments: PaymentLedger
    verifiers: Mapping[str, Verifier] = field(default_factory=dict)

    def __call__(self, source: str, headers: Mapping[str, str], body: bytes) -> bool:
        """Whether it was new. Raises `UNAUTHORIZED`, `MALFORMED_REQUEST`, `SERVICE_UNAVAILABLE`."""
        verify = self.verifiers.get(source)
        if verify is None:
            raise refusal("UNAUTHORIZED", "There is no secret by which this could be verified")
        return self.note(source, verify(headers, body))

    def note(self, source: str, notice: Notice) -> bool:
        """The same of what needs no signature: the whole log is trusted. Raises `SERVICE_UNAVAILABLE`."""
        return self.payments.receive(source, notice)
