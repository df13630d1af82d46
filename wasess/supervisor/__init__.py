"""KEEPS. One keeper per session, and the many."""

from __future__ import annotations
