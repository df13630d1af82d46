"""Files that hold the current code while it is shown, and are gone afterwards: the PNG of ``--png`` and a sandbox's camera."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wasess.cli.qr import Matrix, framed, png
from wasess.errors import UsageError
from wasess.store.atomic import write_atomic
from wasess.words import _

if TYPE_CHECKING:
    from pathlib import Path


class CodeFiles:
    """``picture``: where the PNG goes. ``camera``: where the code's text goes for the phone of a sandbox."""

    def __init__(self, picture: Path | None, camera: Path | None) -> None:
        if picture and picture.exists():
            raise UsageError(
                _("{picture} exists already; nothing was overwritten").format(picture=picture),
                hint=_("name another file, or remove this one"),
            )
        if picture and not picture.absolute().parent.is_dir():
            raise UsageError(_("the folder of {picture} does not exist").format(picture=picture), hint=_("make it, or name another file"))
        self._picture = picture
        self._camera = camera

    def show(self, text: str, code: Matrix) -> None:
        """Replace what is there by this code (0600, whole at any instant)."""
        if self._picture:
            write_atomic(self._picture, png(framed(code)))
        if self._camera:
            self._camera.parent.mkdir(mode=0o700, exist_ok=True)
            write_atomic(self._camera, text.encode())

    def clear(self) -> None:
        """Remove what is there."""
        for path in (self._picture, self._camera):
            if path:
                path.unlink(missing_ok=True)
