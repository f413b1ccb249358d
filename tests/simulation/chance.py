"""How long until a live peer is lost by chance: exactly, and simulated 10^7 answers at a time.

`Membership` removes a peer by chance when the last `run_needed` fresh answers in a row lack it. For uniform samples of
`shown` out of `union` members, whether one live peer is in an answer is a coin of its own for each answer. So a
history of answers is, for each peer, an integer whose bits are its absences, and a lost peer is a run of ones: shifts
and ANDs find those for a million answers at once. `test_incomplete.py` proves this equal to the real code, answer by
answer, on samples.
"""

from __future__ import annotations

import random
from math import log

from headless_discovery.membership import CHANCE, HABIT


def run_needed(shown: int, union: int) -> int:
    """How many answers in a row have to lack a peer."""
    missed, bound = log(HABIT + (1 - HABIT) * (1 - shown / union)), log(CHANCE / union)
    needed, total = 0, 0.0
    while total > bound or needed < 3:  # as the account is kept: one addend an answer
        total += missed
        needed += 1
    return needed


def expected_losses(shown: int, union: int, answers: int) -> float:
    """An upper bound of the chance that any live peer is lost in so many answers: each loss ends a run of misses."""
    missed = 1 - shown / union
    return float(answers) * union * missed ** run_needed(shown, union)


def runs_of(absences: int, length: int) -> int:
    """Bits where a run of at least `length` ones has its low end."""
    have = 1
    while have < length:
        step = min(have, length - have)
        absences &= absences >> step
        have += step
    return absences


def lost_in(answers: int, *, peers: int, sixteenths: int, length: int, seed: int) -> tuple[int, int]:
    """(losses, the longest run seen) over `answers` for each of `peers`, each absent with probability sixteenths/16.

    Absences are drawn more often than in truth, so that 4 bits of randomness do for each.
    """
    rng = random.Random(seed)
    block = 1 << 20
    lost, longest = 0, 0
    left = peers * answers
    while left > 0:
        size = min(block, left)
        left -= size
        absences = 0
        low = [rng.getrandbits(size) for _ in range(4)]
        # A number of four bits below `sixteenths`: compared from the highest bit down.
        equal = (1 << size) - 1
        for place in (3, 2, 1, 0):
            if sixteenths >> place & 1:
                absences |= equal & ~low[place]
                equal &= low[place]
            else:
                equal &= ~low[place]
        lost += runs_of(absences, length).bit_count()
        run, reached = absences, 0
        while run:
            run &= run >> 1
            reached += 1
        longest = max(longest, reached)
    return lost, longest
