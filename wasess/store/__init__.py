"""REMEMBERS. Session folders, records, the spool, locks."""

from __future__ import annotations
