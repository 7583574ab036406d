"""The pictures that pages have shown last, kept a little longer than SimCord keeps them."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

_TYPES = frozenset({"image/png", "image/jpeg", "image/webp", "image/gif"})
_MAX_PICTURES = 256
_MAX_BYTES = 128 * 2**20


class RecentPictures:
    """Bytes of published pictures by page and asset; the oldest go first beyond 256 pictures or 128 MiB.

    A page learns of a picture and asks for it a moment later, when a newer one may have taken its place.
    """

    def __init__(self, preview: Any) -> None:
        self._preview = preview
        self._pictures: OrderedDict[tuple[str, str], tuple[str, bytes, str]] = OrderedDict()
        self._bytes = 0

    def remember(self, page: Any) -> None:
        """Keep the pictures that a page shows now."""
        for asset_id, record in page.assets.items():
            key = (page.id, asset_id)
            blob = self._preview._blobs.get(record.digest) if record.digest is not None else None
            if blob is None or record.contentType not in _TYPES or key in self._pictures:
                continue
            self._pictures[key] = (record.contentType, blob.data, record.filename)
            self._bytes += len(blob.data)
        while len(self._pictures) > _MAX_PICTURES or self._bytes > _MAX_BYTES:
            _, (_, data, _) = self._pictures.popitem(last=False)
            self._bytes -= len(data)

    def get(self, page_id: str, asset_id: str) -> tuple[str, bytes, str] | None:
        """Return content type, bytes and file name; None if it is not kept."""
        return self._pictures.get((page_id, asset_id))
