"""Hands one message to a mail server, or to our own SMTP proxy, and tells what it answered."""

from __future__ import annotations

from typing import Final

import aiosmtplib

from tracker.doors.next_hop import NextHop, client_of
from tracker.model import Reply

SECONDS: Final = 60.0
"""For each step; the proxy waits for its next hop meanwhile."""


class Unreached(Exception):
    """The server could not be talked to, or did not let us in."""

    def __init__(self, why: str) -> None:
        """WHY in words, without addresses."""
        super().__init__(why)
        self.why = why


async def submitted(server: NextHop, name: str, sender: str, recipient: str, message: bytes) -> Reply:
    """What SERVER answers to MESSAGE, or to the step before at which it refuses; NAME is who we say that we are.

    SENDER, RECIPIENT: ASCII. Raises Unreached.
    """
    client = client_of(server, name, SECONDS)
    try:
        await client.connect()
    except aiosmtplib.SMTPResponseException as error:
        raise Unreached(f"it answered {error.code} before any mail was named") from None
    except (aiosmtplib.SMTPException, OSError) as error:
        raise Unreached(f"it cannot be reached: {_cause(error)}") from None
    try:
        await client.mail(sender)
        await client.rcpt(recipient)
        answer = await client.data(message)
        await client.quit()
    except aiosmtplib.SMTPResponseException as error:
        return Reply(error.code, error.message)
    except (aiosmtplib.SMTPException, OSError) as error:
        raise Unreached(f"the connection broke: {_cause(error)}") from None
    finally:
        client.close()
    return Reply(answer.code, answer.message)


def _cause(error: BaseException) -> str:
    cause = error.__cause__
    return cause.strerror if isinstance(cause, OSError) and cause.strerror else type(error).__name__
