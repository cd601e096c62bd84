"""Speaks SMTP with one client, on aiosmtpd: what it says is passed on, and answered as the next hop answers.

Law: no log holds what a client says, since that is addresses. Only CRLF.CRLF ends a message.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from functools import wraps
from typing import Any, Final, TypeAlias

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

from tracker.core.control import controls_of, without_controls
from tracker.core.received import protocol_of, received_line
from tracker.core.smtp_lines import (
    LONGEST_LINE,
    Path,
    end_of_data,
    has_bare_line_end,
    has_long_line,
    read_path,
    unstuffed,
)
from tracker.doors.budget import TIMES_MESSAGE, Room
from tracker.doors.server import place
from tracker.doors.smtp.hops import PASSED_ON, HopTransaction
from tracker.doors.smtp.office import Office
from tracker.flows.relay import Incoming, Submitter, Transaction
from tracker.model import ApiKey, NoRoom, Reply

log = logging.getLogger("tracker.smtp")

PIECE: Final = 2**18
"""Octets of a message that are read at a time."""
TIMES_TOO_LARGE: Final = 3
"""The same of one that is too large to be tracked: as it came, without its hidden dots, and with them going out."""
PATIENCE_FOR_ROOM: Final = 60.0
"""Seconds for there to be memory for a message; a client waits two minutes (RFC 5321, section 4.5.3.2.4)."""
LONGEST_COMMAND: Final = 2_048
"""Octets; SMTPUTF8, SIZE and DSN make them longer than the 512 of RFC 5321."""
LOGINS: Final = 5
"""Attempts on one connection."""
UNLIMITED: Final = 2**31

BYE: Final = Reply(421, "4.3.2 Closing; please try again in a moment")
GOODBYE: Final = Reply(221, "Bye")
NO_ROOM: Final = Reply(452, "4.3.1 Too many large messages are under way; please try again later")
TOO_LARGE: Final = Reply(552, "5.3.4 The message is larger than is taken here")
BARE: Final = Reply(554, "5.6.0 A line of the message ends in CR or LF alone; RFC 5321 asks for CRLF")
LONG_LINE: Final = Reply(554, f"5.6.0 A line of the message is longer than {LONGEST_LINE} octets")
LOGIN_FIRST: Final = Reply(530, "5.7.0 Authentication required")
MALFORMED: Final = Reply(553, "5.1.3 Not an address")
SYNTAX: Final = Reply(501, "5.5.4 Syntax error in the parameters")
NO_UTF8: Final = Reply(553, "5.6.7 An address with letters beyond ASCII needs SMTPUTF8")
FAULT: Final = Reply(451, "4.3.0 Something went wrong on our side; please try again later")
STORE_AWAY: Final = Reply(454, "4.7.0 Logins cannot be checked just now")
WRONG: Final = "535 5.7.8 Authentication credentials invalid"
Command: TypeAlias = Callable[[str | None], Awaitable[None]]
_MAIL_PARAMETERS: Final = frozenset({"BODY", "SIZE", "SMTPUTF8", "RET", "ENVID", "AUTH"})
_RCPT_PARAMETERS: Final = frozenset({"NOTIFY", "ORCPT"})


class SmtpSession(SMTP):
    """One connection of a client."""

    command_size_limit = LONGEST_COMMAND

    def __init__(self, office: Office) -> None:
        self._office = office
        self._hop: HopTransaction | None = None
        self._going: Transaction | None = None
        self._login: ApiKey | None = None
        self._peer = ""
        self._admitted = self._heeded = False
        self._in_handshake = False
        self._cut_off: asyncio.TimerHandle | None = None
        self.is_delivering = self.had_a_turn = False
        super().__init__(
            office,
            hostname=office.name,
            ident="ESMTP",
            enable_SMTPUTF8=True,
            data_size_limit=office.largest,
            tls_context=office.certificate,
            timeout=office.idle_seconds,
            command_call_limit={"*": UNLIMITED, "AUTH": LOGINS},
            loop=asyncio.get_running_loop(),
        )
        self._smtp_methods = {name: self._if_heard(name, each) for name, each in self._smtp_methods.items()}

    @property
    def has_begun(self) -> bool:
        """Whether a transaction is under way here, or is being begun at the next hop."""
        return self._going is not None or self._hop is not None

    # --- the connection ------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin; TLS from the first octet is TLS already, and on this machine itself nobody listens in."""
        peer = transport.get_extra_info("peername")
        self._peer = peer[0] if isinstance(peer, tuple) else ""
        self._tls_protocol = transport.get_extra_info("ssl_object")
        self._auth_require_tls = not self._office.is_loopback(self._peer)
        self._admitted = self._office.admits(self._peer)
        self._heeded = self._office.heeds(self._peer)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        """End; nobody has to be cut off any more."""
        if self._cut_off is not None:
            self._cut_off.cancel()
        super().connection_lost(error)

    def eof_received(self) -> bool:
        """Go on with what was said: a client may close its own side and wait for the answer (RFC 9293 section 3.6).

        Exim sends QUIT right behind the end of data and closes; hung up on, it would send the message once more.
        """
        self._reader.feed_eof()
        return not self._tls_protocol  # TLS has no half of a connection

    async def _handle_client(self) -> None:
        if not self._office.enter(self):
            self.dismiss()
            return
        try:
            await super()._handle_client()
        finally:
            self._office.leave(self)
            self._set_post_data_state()
            self._hang_up()
            if self._timeout_handle is not None:
                self._timeout_handle.cancel()

    def _set_post_data_state(self) -> None:
        """End what was begun; also aiosmtpd calls this, at RSET and EHLO."""
        super()._set_post_data_state()  # type: ignore[no-untyped-call]
        self.had_a_turn |= self._going is not None
        self.is_delivering = False
        self._going = None
        if self._hop is not None:
            self._hop.release()
            self._hop = None

    async def handle_exception(self, error: Exception) -> str:
        """Answer what failed here; what an error says may hold what the client said."""
        if isinstance(error, EOFError):  # nothing more comes
            self._hang_up()
            self._end()
        elif not isinstance(error, ConnectionError):
            log.error("a command failed: %s", place(error))
        return f"{FAULT.code} {FAULT.text}"

    def dismiss(self) -> None:
        """Tell the client to come again, without waiting for it to listen, and end."""
        if self.transport is not None and not self.transport.is_closing() and not self._in_handshake:
            self._writer.write(_lines(BYE))
        self._hang_up()

    def _if_heard(self, name: str, command: Command) -> Command:
        """COMMAND, called NAME, unless the client is to come again; goodbye it may say."""

        @wraps(command)
        async def heard(arg: str | None) -> None:
            if name == "QUIT" or self._office.hears(self):
                await command(arg)
            else:
                self.dismiss()

        return heard

    def _timeout_cb(self) -> None:
        """End with a client that was idle for too long; also one that takes nothing is."""
        self._hang_up()

    def _hang_up(self) -> None:
        """Close as soon as the client has taken what it was told; who does not take it in time is cut off."""
        if self.transport is None:
            return
        if self._in_handshake:  # which closes when it is given up, and calls it a success when it is closed
            self._end()
        elif not self.transport.is_closing():  # in TLS one that is closed twice cannot be aborted any more
            self.transport.close()
        if self._cut_off is None:
            self._cut_off = self.loop.call_later(self._office.last_words_seconds, self._writer.transport.abort)

    def _end(self) -> None:
        """Hear no further command; what was told goes out, and the connection is closed."""
        assert self._handler_coroutine is not None
        self._handler_coroutine.cancel()

    async def _say(self, reply: Reply) -> None:
        await self.push(_lines(reply).removesuffix(b"\r\n"))

    # --- who the client is ---------------------------------------------------------------------------

    async def smtp_EHLO(self, hostname: str | None) -> None:
        """Offer what we can, and what the next hop can."""
        if not hostname:
            await self._say(Reply(501, "5.5.4 Syntax: EHLO hostname"))
            return
        self._set_rset_state()  # type: ignore[no-untyped-call]
        assert self.session is not None
        self.session.extended_smtp = True
        self.session.host_name = hostname
        offers = await self._office.offers()
        size = min(self._office.largest, offers.size or self._office.largest)
        lines = [
            self._office.name,
            f"SIZE {size}",
            "PIPELINING",
            "ENHANCEDSTATUSCODES",
            *sorted(offers.extensions & PASSED_ON),
        ]
        if self.tls_context and not self._tls_protocol:
            lines.append("STARTTLS")
        if self._tls_protocol or not self._auth_require_tls:
            lines.append("AUTH LOGIN PLAIN")
        await self._say(Reply(250, "\n".join(lines)))

    async def smtp_STARTTLS(self, arg: str | None) -> None:
        """Go on in TLS, and forget all that was said before (RFC 3207)."""
        if arg or self.tls_context is None or self._tls_protocol:
            await self._say(SYNTAX if arg else Reply(454, "4.7.0 TLS is not available"))
            return
        await self._say(Reply(220, "2.0.0 Ready"))
        self._reader._buffer.clear()  # type: ignore[attr-defined]  # what was sent in the clear is nobody's command
        self._in_handshake = True
        try:
            await self._writer.start_tls(self.tls_context)
        except (ssl.SSLError, OSError):
            self._end()  # nobody is told of a connection that is lost within the handshake
            return
        self._in_handshake = False
        self.transport = self._writer.transport
        self._tls_protocol = self.transport.get_extra_info("ssl_object")
        self._set_rset_state()  # type: ignore[no-untyped-call]
        self._login = None
        peer = self.session.peer if self.session is not None else None
        self.session = self._create_session()
        self.session.peer = peer
        self.session.ssl = {}

    async def smtp_QUIT(self, arg: str | None) -> None:
        """Say goodbye, and close once: see `_hang_up`."""
        if arg:
            await self._say(SYNTAX)
            return
        await self._say(GOODBYE)
        self._end()

    async def auth_PLAIN(self, _: Any, args: list[str]) -> AuthResult:
        """AUTH PLAIN (RFC 4616): the name of an API key, and the key."""
        return await self._checked(await super().auth_PLAIN(_, args))

    async def auth_LOGIN(self, _: Any, args: list[str]) -> AuthResult:
        """The same for programs that know nothing else."""
        return await self._checked(await super().auth_LOGIN(_, args))

    def _authenticate(self, mechanism: str, auth_data: Any) -> AuthResult:
        return AuthResult(success=True, auth_data=auth_data)  # the two above look at it

    async def _checked(self, given: AuthResult) -> AuthResult:
        if not given.success or not isinstance(given.auth_data, LoginPassword):
            return given
        try:
            key = await self._office.key_of(*given.auth_data)
        except Exception as error:
            log.warning("a login could not be checked: %s", place(error))
            await self._say(STORE_AWAY)
            return AuthResult(success=False, handled=True)
        self._login = key
        return AuthResult(success=key is not None, handled=False, message=None if key is not None else WRONG)

    # --- a transaction -------------------------------------------------------------------------------

    async def smtp_MAIL(self, arg: str | None) -> None:
        """Begin a transaction, here and at the next hop."""
        if await self.check_helo_needed():
            return
        sender = read_path(arg or "", "FROM:")
        fault = self._fault_of(sender, _MAIL_PARAMETERS)
        if self._going is not None:
            fault = Reply(503, "5.5.1 A transaction is under way")
        elif self._login is None and not self._admitted:
            fault = LOGIN_FIRST
        if sender is None or fault is not None:
            await self._say(fault or MALFORMED)
            return
        size = sender.parameters.get("SIZE") or "0"
        if not size.isdigit() or (sender.parameters.get("BODY") or "7BIT").upper() not in ("7BIT", "8BITMIME"):
            await self._say(SYNTAX)
            return
        if int(size) > self._office.largest:
            await self._say(TOO_LARGE)
            return
        hop = self._hop = self._office.next_hop()
        going = Transaction(hop)
        with self._untimed():
            reply = await going.mail(sender)
        if reply.is_yes:
            self._going = going
        else:
            self._set_post_data_state()
        await self._say(reply)

    async def smtp_RCPT(self, arg: str | None) -> None:
        """Name a recipient, here and at the next hop."""
        if self._going is None:
            await self._say(Reply(503, "5.5.1 MAIL first"))
            return
        recipient = read_path(arg or "", "TO:")
        fault = self._fault_of(recipient, _RCPT_PARAMETERS)
        if recipient is None or fault is not None or not recipient.address:
            await self._say(fault or MALFORMED)
            return
        if len(self._going.recipients) >= self._office.most_recipients:
            await self._say(Reply(452, "4.5.3 Too many recipients"))
            return
        with self._untimed():
            reply = await self._going.rcpt(recipient)
        await self._say(reply)

    def _fault_of(self, path: Path | None, known: frozenset[str]) -> Reply | None:
        if path is None:
            return MALFORMED
        if not path.parameters.keys() <= known:
            return Reply(555, "5.5.4 A parameter that is not known here")
        going = self._going.sender if self._going is not None else path
        utf8 = going is not None and "SMTPUTF8" in going.parameters
        return None if path.address.isascii() or utf8 else NO_UTF8

    async def smtp_DATA(self, arg: str | None) -> None:
        """Take a message, hand it on, and answer then."""
        going = self._going
        if arg or going is None or not going.recipients:
            await self._say(SYNTAX if arg else Reply(503 if going is None else 554, "5.5.1 RCPT first"))
            return
        with ExitStack() as stack:
            room = stack.enter_context(self._office.budget.to_pass_on())
            size = (going.sender.parameters.get("SIZE") if going.sender is not None else None) or "0"
            try:
                await room.resize(self._need(max(int(size), 2**16)), PATIENCE_FOR_ROOM)
            except NoRoom:
                self._set_post_data_state()
                await self._say(NO_ROOM)
                return
            await self._say(Reply(354, "End data with <CR><LF>.<CR><LF>"))
            try:
                octets = await self._data(room)
            except NoRoom:
                self.dismiss()
                return
            if not self._office.hears(self):  # it was told to come again, so that this must not arrive as well
                return
            reply = self._taken(octets)
            if isinstance(reply, Reply):
                self._set_post_data_state()
            else:
                del octets
                self.is_delivering = True
                delivery = self._office.deliver(going, self._incoming(reply, going), self._hop, stack.pop_all())
                self._hop = None  # it goes on to the end, whether or not the client waits
                try:
                    with self._untimed():
                        reply = await asyncio.shield(delivery)
                except asyncio.CancelledError:
                    if delivery.cancelled():  # the server stops, and has waited for as long as it may
                        self.dismiss()
                    raise
                finally:
                    self._set_post_data_state()
        await self._say(reply)

    def _need(self, octets: int) -> int:
        """The memory that a message of OCTETS takes."""
        return max(TIMES_MESSAGE * min(octets, self._office.max_message), TIMES_TOO_LARGE * octets)

    async def _data(self, room: Room) -> bytes | None:
        """What comes until the end of data, that included; None where it is too large. Raises NoRoom."""
        octets = bytearray()
        searched = 0
        too_large = False
        loop = asyncio.get_running_loop()
        until = loop.time() + self._office.data_seconds
        while True:
            piece = await self._reader.read(PIECE)
            if not piece:
                raise ConnectionResetError
            octets += piece
            end = end_of_data(octets, searched)
            if end >= 0:
                self._reader._buffer[:0] = octets[end:]  # type: ignore[attr-defined]  # the next command, which comes first
                del octets[end:]
                return None if too_large else bytes(octets)
            if too_large or len(octets) > self._office.largest + LONGEST_LINE:
                too_large = True  # the answer comes after the end; meanwhile nothing is kept but what may be its start
                octets[:] = b"-" + octets[-4:]
            searched = len(octets)
            await room.resize(max(room.held, self._need(len(octets))), PATIENCE_FOR_ROOM)
            if loop.time() > until:
                raise NoRoom
            self._reset_timeout()

    def _taken(self, octets: bytes | None) -> bytes | Reply:
        """The message in OCTETS, or why it is refused."""
        message = unstuffed(octets or b"")
        if octets is None or len(message) > self._office.largest:
            return TOO_LARGE
        if has_bare_line_end(message):
            return BARE
        return LONG_LINE if has_long_line(message) else message

    def _incoming(self, message: bytes, going: Transaction) -> Incoming:
        key = self._login
        marked = without_controls(message)
        heeded = key is not None or self._heeded
        assert self.session is not None
        protocol = protocol_of(
            extended=self.session.extended_smtp,
            tls=bool(self._tls_protocol),
            login=key is not None,
            utf8=going.sender is not None and "SMTPUTF8" in going.sender.parameters,
        )
        return Incoming(
            message=marked.message,
            received=received_line(self._office.name, protocol, self._office.clock()),
            said=controls_of(marked, self._office.names, heeded=heeded),
            who=Submitter() if key is None else Submitter(key.name, key.owner),
        )

    def _untimed(self) -> ExitStack:
        """While the next hop is waited for the client is not idle."""
        if self._timeout_handle is not None:
            self._timeout_handle.cancel()
        stack = ExitStack()
        stack.callback(self._timed_again)
        return stack

    def _timed_again(self) -> None:
        if self.transport is not None:
            self._reset_timeout()


def _lines(reply: Reply) -> bytes:
    """REPLY as it is sent."""
    lines = reply.text.split("\n")
    marks = ["-"] * (len(lines) - 1) + [" "]
    said = "".join(f"{reply.code}{mark}{line}\r\n" for mark, line in zip(marks, lines, strict=True))
    return said.encode("utf-8", "surrogateescape")
