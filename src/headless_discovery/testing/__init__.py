"""A real DNS server on loopback that behaves like CoreDNS, for testing applications that discover peers.

Importing this package imports nothing else: the pytest plugin lives here, and every pytest run of every project in
the environment loads it. The names below are loaded when first used (PEP 562).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .cluster import Pod as Pod
    from .cluster import Service as Service
    from .faults import Close as Close
    from .faults import Exchange as Exchange
    from .faults import Hold as Hold
    from .faults import Raw as Raw
    from .faults import Reset as Reset
    from .faults import Send as Send
    from .faults import SendElsewhere as SendElsewhere
    from .faults import Wait as Wait
    from .message import Record as Record
    from .message import record as record
    from .server import DNSServer as DNSServer
    from .server import Query as Query

_HOME = {
    "DNSServer": ".server",
    "Query": ".server",
    "Pod": ".cluster",
    "Service": ".cluster",
    "Exchange": ".faults",
    "Send": ".faults",
    "SendElsewhere": ".faults",
    "Raw": ".faults",
    "Wait": ".faults",
    "Hold": ".faults",
    "Close": ".faults",
    "Reset": ".faults",
    "Record": ".message",
    "record": ".message",
}

__all__ = [
    "Close",
    "DNSServer",
    "Exchange",
    "Hold",
    "Pod",
    "Query",
    "Raw",
    "Record",
    "Reset",
    "Send",
    "SendElsewhere",
    "Service",
    "Wait",
    "record",
]


def __getattr__(name: str) -> Any:
    try:
        home = _HOME[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    return getattr(import_module(home, __name__), name)


def __dir__() -> list[str]:
    return __all__
