"""Serves our JavaScript, CSS, palette and plotly.js below `/basin/<version>/`.

The version is a digest of every file that is served, so an answer may be kept for ever: a changed file has a new
address, and the relative imports of a module carry the version along. Another version is not found.

Small files are compressed on their way by Gradio's middleware. The large one, plotly.js, would hold up every other
answer for a third of a second; it is compressed once, in a thread of its own, and sent as it is until then.
"""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.responses import FileResponse, Response
from starlette.routing import Route

if TYPE_CHECKING:
    from starlette.requests import Request

__all__ = ["BrowserFiles"]

_APP = Path(__file__).resolve().parent
_TYPES = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
}
_LARGE = 256 * 1024


class BrowserFiles:
    """The files by the name under which the page asks for them."""

    def __init__(self, files: dict[str, Path]) -> None:
        digest = hashlib.sha256()
        for name, path in sorted(files.items()):
            digest.update(f"{name}\n".encode() + hashlib.sha256(path.read_bytes()).digest())
        self.files = files
        self.version = digest.hexdigest()[:12]
        """The first 12 hex digits of the sha256 over names and contents."""
        self._packed: dict[str, bytes] = {}

    @classmethod
    def collect(cls) -> BrowserFiles:
        """List what stands in `app/browser`, the palette, and plotly.js as shipped with plotly.py."""
        import plotly

        browser = _APP / "browser"
        found = sorted(path for path in browser.rglob("*") if path.is_file() and path.suffix in _TYPES)
        files = {path.relative_to(browser).as_posix(): path for path in found}
        files["palette.json"] = _APP / "charts" / "palette.json"
        files["plotly.min.js"] = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
        return cls(files)

    @property
    def prefix(self) -> str:
        """Return the address of the folder, relative to the page."""
        return f"basin/{self.version}"

    def pack(self) -> threading.Thread:
        """Begin to compress what is large; return the thread that does it."""
        thread = threading.Thread(target=self._pack, name="basin-pack", daemon=True)
        thread.start()
        return thread

    def route(self) -> Route:
        """Return the route to put before Gradio's own."""

        async def serve(request: Request) -> Response:
            name = request.path_params["name"]
            path = self.files.get(name)
            if path is None or request.path_params["version"] != self.version:
                return Response("There is no such file.", 404, media_type="text/plain")
            kind = _TYPES[path.suffix]
            headers = {"cache-control": "public, max-age=31536000, immutable", "vary": "accept-encoding"}
            if path.stat().st_size <= _LARGE:
                return FileResponse(path, headers=headers, media_type=kind)
            packed = self._packed.get(name)
            if packed is not None and "br" in request.headers.get("accept-encoding", ""):
                return Response(packed, headers={**headers, "content-encoding": "br"}, media_type=kind)
            return FileResponse(path, headers={**headers, "content-encoding": "identity"}, media_type=kind)

        return Route("/basin/{version}/{name:path}", serve, methods=["GET", "HEAD"])

    def _pack(self) -> None:
        import brotli  # type: ignore[import-untyped]

        for name, path in self.files.items():
            data = path.read_bytes()
            if len(data) > _LARGE:
                self._packed[name] = brotli.compress(data, quality=5)
