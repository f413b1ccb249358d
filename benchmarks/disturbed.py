"""What a busy machine does to figures: when others had the processor in the middle of what is timed."""

from __future__ import annotations

import resource
from collections.abc import Sequence

ENOUGH = 10  # samples that were left alone, to do without the others


def interruptions() -> int:
    """How often this thread was made to give the processor up so far (getrusage(2), ru_nivcsw). Waiting is not it."""
    if not hasattr(resource, "RUSAGE_THREAD"):  # Linux only
        return 0
    return resource.getrusage(resource.RUSAGE_THREAD).ru_nivcsw


def left_alone(samples: Sequence[tuple[float, bool]]) -> list[float]:
    """The values that nobody interrupted, of `(value, interrupted)`; all, where those are too few."""
    found = [value for value, interrupted in samples if not interrupted]
    return found if len(found) >= ENOUGH else [value for value, _ in samples]
