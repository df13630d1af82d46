"""wasess keeps WhatsApp linked-device sessions alive: link once, stay linked."""

from __future__ import annotations

__version__ = "0.1.0"
