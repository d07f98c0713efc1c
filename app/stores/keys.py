"""The keys that Python names. All others carry the epoch and are named in `lua/include/keys.lua`, where they are used.

Every key of a shard carries the hash tag `{NN}`, so that Redis Cluster keeps a shard, and its scripts, on one node.
"""


def epoch(shard: int) -> str:
    """String: "<epoch> <run_id>" that the shard was installed under."""
    return f"{{{shard:02}}}:epoch"


def freeze(shard: int) -> str:
    """String: the token of the rebuild under way. While it stands, nothing sells."""
    return f"{{{shard:02}}}:freeze"


def outbox(shard: int) -> str:
    """Stream: a transition each, ids "<epoch>-<n>"."""
    return f"{{{shard:02}}}:outbox"


def spaces(shard: int) -> str:
    """Pattern of every key that carries an epoch."""
    return f"{{{shard:02}}}:[0-9]*"


def epoch_of(key: str) -> int:
    """The epoch that a key matched by `spaces` carries."""
    return int(key.split(":", 2)[1])
