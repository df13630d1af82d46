"""PRETENDS. A WhatsApp server on loopback, with every fault it can have."""

from __future__ import annotations
