"""How often one client may ask."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rate:
    """A bucket of `burst` requests that fills evenly, `per_minute` of them a minute."""

    per_minute: int
    burst: int

    @property
    def token_us(self) -> int:
        """One request comes back after so many microseconds."""
        return 60_000_000 // self.per_minute

    @property
    def window_seconds(self) -> int:
        """From empty to full, rounded up."""
        return -(-self.burst * self.token_us // 1_000_000)


@dataclass(frozen=True, slots=True)
class Allowance:
    """What one more request came to. Seconds are rounded up: who waits that long is not too early."""

    remaining: int
    full_in_seconds: int
    retry_in_seconds: int | None = None
    """None: it is admitted."""
