"""Reads small forms: urlencoded or multipart, in memory, with bounds on size, time and number of fields."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import parse_qsl

from aiohttp import web

from tracker.model import BadRequest, FormTooLarge

LARGEST_FORM: Final = 16 * 1024
"""Bytes; the buttons send a few dozen. Also for the application's `client_max_size`, which bounds chunked bodies."""
SLOWEST_FORM: Final = 10.0
"""Seconds for a form to arrive."""
MOST_FIELDS: Final = 20
_BOUNDARY: Final = re.compile(r'boundary="?([^";,\s]{1,70})', re.IGNORECASE)
_FIELD_NAME: Final = re.compile(rb'[; ]name="?([^";\r\n]*)', re.IGNORECASE)


async def read_form(request: web.Request, largest: int = LARGEST_FORM) -> list[tuple[str, str]]:
    """Names and values of the fields that REQUEST sent; none when its body is empty or no form.

    LARGEST: bytes that it may have. Raises FormTooLarge, and BadRequest when the body does not arrive or has too many
    fields.
    """
    return fields(request.headers.get("Content-Type", ""), await _body(request, largest))


async def _body(request: web.Request, largest: int) -> bytes:
    if (request.content_length or 0) > largest:
        raise FormTooLarge
    try:
        async with asyncio.timeout(SLOWEST_FORM):
            body = await request.read()
    except (TimeoutError, ConnectionError, web.RequestPayloadError):
        raise BadRequest from None
    if len(body) > largest:  # one that came in chunks
        raise FormTooLarge
    return body


def fields(content_type: str, body: bytes) -> list[tuple[str, str]]:
    """Names and values in a BODY of CONTENT_TYPE; none in one of another kind. Raises BadRequest for too many."""
    # Our own few lines, because aiohttp's reader writes large parts to a temporary file (promise 7).
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        boundary = _BOUNDARY.search(content_type)
        return [] if boundary is None else list(_parts(body, boundary.group(1)))
    if kind != "application/x-www-form-urlencoded":
        return []
    try:
        return parse_qsl(body.decode("utf-8", "replace").strip(), keep_blank_values=True, max_num_fields=MOST_FIELDS)
    except ValueError:
        raise BadRequest from None


def _parts(body: bytes, boundary: str) -> Iterable[tuple[str, str]]:
    for part in body.split(b"--" + boundary.encode("utf-8", "replace"), MOST_FIELDS + 1)[1:]:
        head, _, value = part.partition(b"\r\n\r\n")
        name = _FIELD_NAME.search(head)
        if name is not None:
            yield name.group(1).decode("utf-8", "replace"), value.removesuffix(b"\r\n").decode("utf-8", "replace")
