"""The library's logger. It never raises: a handler or filter that does must not end a thread, or a service."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import Any


class _Logger(logging.LoggerAdapter[logging.Logger]):
    def log(self, level: int, msg: object, *args: Any, **kwargs: Any) -> None:
        with suppress(Exception):
            kwargs["stacklevel"] = kwargs.get("stacklevel", 1) + 1
            super().log(level, msg, *args, **kwargs)


log = _Logger(logging.getLogger("headless_discovery"), None)
