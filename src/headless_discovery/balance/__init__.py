"""Choosing peers: strategies, the protocols to write your own, and the types of keys.

`docs/choosing-a-strategy.md` says which one to take, `docs/hashing.md` how hashes are computed.
"""

from .api import Hashed, Key, Lease, Picker, Strategy
from .consistent_hash import ConsistentHash
from .random_choice import Random
from .registry import make
from .ring_hash import RingHash
from .round_robin import RoundRobin
from .sharing import acquire, pick_many

__all__ = [
    "ConsistentHash",
    "Hashed",
    "Key",
    "Lease",
    "Picker",
    "Random",
    "RingHash",
    "RoundRobin",
    "Strategy",
    "acquire",
    "make",
    "pick_many",
]
