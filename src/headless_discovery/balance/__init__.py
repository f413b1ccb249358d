"""Choosing peers: strategies, the protocols to write your own, and the types of keys.

`docs/choosing-a-strategy.md` says which one to take, `docs/custom-strategy.md` how to write one, `docs/hashing.md`
how hashes are computed.
"""

from .api import Hashed, Key, Lease, Picker, Strategy
from .bounded_load import BoundedLoad
from .consistent_hash import ConsistentHash
from .jump_hash import JumpHash
from .least_loaded import LeastLoaded
from .maglev import Maglev
from .prefer import Prefer
from .random_choice import Random
from .registry import make
from .rendezvous import Rendezvous
from .ring_hash import RingHash
from .round_robin import RoundRobin
from .sharing import acquire, pick_many
from .subset import Subset
from .weighted import Weighted

__all__ = [
    "BoundedLoad",
    "ConsistentHash",
    "Hashed",
    "JumpHash",
    "Key",
    "Lease",
    "LeastLoaded",
    "Maglev",
    "Picker",
    "Prefer",
    "Random",
    "Rendezvous",
    "RingHash",
    "RoundRobin",
    "Strategy",
    "Subset",
    "Weighted",
    "acquire",
    "make",
    "pick_many",
]
