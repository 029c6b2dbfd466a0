"""What can be wrong with an upload, each with the HTTP status that says so to programs."""

from __future__ import annotations

import errno
from typing import ClassVar

from merging_core.errors import BasinError, Problem

__all__ = ["NoRoomError", "StrangerError", "TooLargeError", "UploadError", "disk_problem", "status_of"]

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_UNREADABLE = 422


class UploadError(BasinError):
    """What came cannot be taken, or there is no such upload for this visitor."""

    status: ClassVar[int] = _UNREADABLE


class StrangerError(UploadError):
    """Whoever sends it is not known: no cookie of ours, or a page of somebody else."""

    status: ClassVar[int] = 403


class TooLargeError(UploadError):
    """More than one file, or one visitor, may have."""

    status: ClassVar[int] = 413


class NoRoomError(UploadError):
    """The server has no room for it."""

    status: ClassVar[int] = 507


def status_of(error: BasinError) -> int:
    """Return the HTTP status of an error: its own, or that of what cannot be read."""
    return error.status if isinstance(error, UploadError) else _UNREADABLE


def disk_problem(error: OSError) -> NoRoomError:
    """Say what the disk refused; never where.

    >>> print(disk_problem(OSError(errno.ENOSPC, "No space left on device")))
    disk: the upload can be written, but a full disk came; nothing of it is left behind, try again later.
    """
    got = "a full disk" if error.errno in _FULL else f"“{error.strerror or type(error).__name__}”"
    fix = "nothing of it is left behind, try again later"
    return NoRoomError(Problem("the upload can be written", got, "disk", fix))
