"""What several tests share."""

from __future__ import annotations

from typing import Any

PATIENCE = 20.0  # seconds after which a test that waits for an event fails; nothing is ever as slow
# A lookup every 0.05 s to 0.15 s, whatever the TTL; refresh() always asks.
QUICK: dict[str, Any] = {"min_ttl": 0, "max_ttl": 0.05}
