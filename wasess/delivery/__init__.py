"""HANDS ON. Messages to the bot, replies back."""

from __future__ import annotations
