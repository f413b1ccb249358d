"""In-process, DNS-based peer discovery for headless services."""

__version__ = "0.1.0"
