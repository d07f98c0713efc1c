"""Redis as the memory of who asked how often: one script, one round trip, for all web processes together."""

import logging
import time
from collections.abc import Callable
from hashlib import blake2b

from app.domain.errors import Refusal
from app.domain.limits import Allowance, Rate
from app.stores import keys
from app.stores.lua import Redis

log = logging.getLogger(__name__)


class RedisLimits:
    """Where Redis cannot say, everybody is admitted. A limit is there so that one client does not take what belongs to
    all; with its memory gone, refusing all would do just that harm, and much of what is asked (a confirmed booking, the
    catalogue's terms) Postgres answers alone. Bounded concurrency still protects the process. After a failure nobody
    asks Redis for `_PAUSE_S`, so that an outage costs a request no more waiting than it does without limits, and one
    line of the log tells of it each time.

    `now_us` is for tests alone: None leaves the time to Redis' own clock."""

    _PAUSE_S = 1.0

    def __init__(self, redis: Redis, rate: Rate, now_us: Callable[[], int] | None = None) -> None:
        self._redis = redis
        self.rate = rate
        self._now_us = now_us
        self._again_at = 0.0

    def ask(self, client: str) -> Allowance | None:
        """One more request of `client`; None: not known, and admitted."""
        if time.monotonic() < self._again_at:
            return None
        now = "" if self._now_us is None else self._now_us()
        # A digest: of one length whatever the client is called, and nobody's name in a key.
        key = keys.limit(blake2b(client.encode(), digest_size=16).hexdigest())
        try:
            reply = self._redis.run("limit", key, lambda _: (now, self.rate.token_us, self.rate.burst))
        except Refusal as refused:
            self._again_at = time.monotonic() + self._PAUSE_S
            log.warning("requests are not limited for %g s: %s", self._PAUSE_S, refused.detail)
            return None
        match reply:
            case ["OK", remaining, full_in_us]:
                return Allowance(remaining, _seconds(full_in_us))
            case ["RATE_LIMITED", retry_in_us, full_in_us]:
                return Allowance(0, _seconds(full_in_us), _seconds(retry_in_us))
        raise AssertionError(f"limit answered {reply!r}")


def _seconds(microseconds: int) -> int:
    return -(-microseconds // 1_000_000)
