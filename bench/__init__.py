"""The figures wasess promises, measured on this machine: `make bench`, or `python -m bench FIGURE` for one of them."""

from __future__ import annotations
