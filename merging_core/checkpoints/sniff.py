"""Saying what a file is when it is not safetensors. Nothing here decides what is accepted."""

from __future__ import annotations

__all__ = ["what_it_is"]


def what_it_is(data: bytes) -> str:
    """Name the kind of file that starts with `data`, or return an empty string.

    >>> what_it_is(b"GGUF" + bytes(20))
    'a GGUF file'
    >>> what_it_is(b"version https://git-lfs.github.com/spec/v1")
    'a Git LFS pointer instead of the file it stands for'
    """
    text = data.lstrip()[:64].lower()
    if data.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return "a zip archive (torch.save writes pickles in these)"
    if data[:1] == b"\x80" and data[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return "a pickle, which can run code when it is loaded,"
    if data.startswith(b"GGUF"):
        return "a GGUF file"
    if data.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer instead of the file it stands for"
    if text.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        return "a web page"
    if data.startswith(b"\x89HDF"):
        return "an HDF5 file"
    if data.startswith(b"\x93NUMPY"):
        return "a NumPy array"
    if data.startswith(b"\x1f\x8b"):
        return "a gzip archive"
    if data[257:262] == b"ustar":
        return "a tar archive"
    return ""
