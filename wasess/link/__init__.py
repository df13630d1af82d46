"""TALKS. One worker process per session on neonize's shared library, and the door to it."""

from __future__ import annotations
