"""The keys that Python names. All others carry the epoch and are named in `lua/include/keys.lua`, where they are used.

Every key of a shard carries the hash tag `{NN}`, so that Redis Cluster keeps a shard, and its scripts, on one node.
"""

from functools import cache
from typing import Final

LAYOUT: Final = 5
"""Raised when `lua/` begins to keep something in another form: what has the older form is then closed, and rebuilt."""


def head(epoch: int, run_id: str) -> str:
    """What stands under `epoch` while the shard sells, and what every caller says."""
    return f"{epoch} {run_id} {LAYOUT}"


@cache
def epoch(shard: int) -> str:
    """String: "<epoch> <run_id> <layout>" that the shard was installed under."""
    return f"{{{shard:02}}}:epoch"


def freeze(shard: int) -> str:
    """String: the token of the rebuild under way. While it stands, nothing sells."""
    return f"{{{shard:02}}}:freeze"


def outbox(shard: int) -> str:
    """Stream: a transition each, ids "<epoch>-<n>"."""
    return f"{{{shard:02}}}:outbox"


def limit(client: str) -> str:
    """String: how much one client may still ask. Of no shard: each client's is where the cluster puts it."""
    return f"{{{client}}}:limit"


SPACES: Final = "{[0-9]*}:[0-9]*:*"
"""Pattern of every key that carries an epoch."""


def shard_and_epoch_of(key: bytes) -> tuple[int, int]:
    """Of a key that `SPACES` matches."""
    shard, epoch, _ = key.split(b":", 2)
    return int(shard[1:-1]), int(epoch)
