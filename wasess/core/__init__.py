"""DECIDES. Pure: events in, commands out; no clock, no dice, no file, no socket."""

from __future__ import annotations
