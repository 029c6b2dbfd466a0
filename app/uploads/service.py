"""What the page asks about uploads: which there are, and to delete one; `app.uploads.route` takes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from app.notices import Answer, answers
from app.studio.messages import is_text, message_of
from app.uploads.shelf import Uploads

__all__ = ["UploadDesk"]


class UploadDesk:
    """Methods take a visitor's id and a message, and return an answer; none raises."""

    def __init__(self, uploads: Uploads) -> None:
        self._uploads = uploads

    def functions(self) -> dict[str, Callable[[str, object], Any]]:
        """Return what the page may call, by name."""
        return {"uploads_list": self.list, "upload_delete": self.delete}

    @answers
    def list(self, visitor: str, message: object) -> Answer:
        """List the visitor's uploads, the newest first, and say how much may be uploaded."""
        message_of(message, {})
        return self._listed(visitor)

    @answers
    def delete(self, visitor: str, message: object) -> Answer:
        """Delete an upload of the visitor; list the others."""
        fields = message_of(message, {"ref": (True, "ref is a reference to an upload", is_text(120))})
        self._uploads.delete(visitor, fields["ref"])
        return self._listed(visitor)

    def _listed(self, visitor: str) -> Answer:
        found, limits = self._uploads.of(visitor), self._uploads.limits
        most = {"file": limits.file, "visitor": limits.visitor, "used": sum(upload.bytes for upload in found)}
        return {"uploads": [upload.as_json() for upload in found], "most": most}
