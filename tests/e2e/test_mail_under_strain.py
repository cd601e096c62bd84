"""Mail that is handed in by SMTP survives kills between its copies, next hops and stores that are away, and crowds."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import smtplib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e import crowds, faults
from tests.e2e.hop import Hop
from tests.e2e.mail import OFFER as LETTER
from tests.e2e.mail import message
from tests.e2e.outage import check_log, until
from tests.harness import Installation, consent, free_port
from tests.sink import Taken
from tracker.doors.smtp.hops import MOST

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.xdist_group("mail under strain"),  # one tracker for all of it
]
ANNA, BERT, CARA = "anna@example.org", "bert@example.org", "cara@example.org"
"""Anna and Cara agreed, Bert did not."""
FROM = "jonas@werkstatt-nord.example"
MIB = 2**20
CROWD = 1_000
LISTMONK = ("X-Listmonk-Campaign", "X-Listmonk-Subscriber")


@dataclass
class Line:
    """A tracker, which may be killed, and its next hop."""

    tracker: Installation
    next_hop: Hop
    port: int

    def send(self, octets: bytes, *recipients: str) -> None:
        """Hand OCTETS in once. Raises SMTPException, OSError."""
        with smtplib.SMTP("127.0.0.1", self.port, "app.example", timeout=60) as smtp:
            assert smtp.sendmail(FROM, recipients, octets) == {}

    def recipients_since(self, before: int) -> Counter[str]:
        """How often everybody had something after the first BEFORE messages."""
        return Counter(one for taken in self.next_hop.sink.taken[before:] for one in taken.recipients)


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    folder: Path = tmp_path_factory.mktemp("line")
    port = free_port()
    crowds.allow_files(4 * CROWD)
    with Hop() as next_hop:
        installation = Installation.copied(
            folder / "tracker",
            TRACKER_SMTP_LISTEN=f"127.0.0.1:{port}",
            TRACKER_SMTP_NEXT_HOP=next_hop.sink.next_hop,
            TRACKER_SENDER_DOMAINS="werkstatt-nord.example",
            TRACKER_CAMPAIGN_HEADER=LISTMONK[0],
            TRACKER_REFERENCE_HEADER=LISTMONK[1],
        )
        with installation:
            for one in (ANNA, CARA):
                assert installation.grant(one).status == 201
            yield Line(installation, next_hop, port)


def offer(mark: str) -> bytes:
    return message('<p><a href="https://shop.example/a">x</a></p>', **{"Message-ID": f"<{mark}@x>"})


def is_tracked(taken: Taken) -> bool:
    return b'data-tracker="notice"' in taken.octets


# The next hop hears MAIL, RCPT of all; RSET, MAIL, RCPT, DATA for Bert; then the same for Anna and for Cara.
STAGES = {
    "its sender was named": ("MAIL", 1, {}),
    "its recipients were named": (f"RCPT TO:<{BERT}", 1, {}),
    "half of it had come": ("half", 1, {}),
    "all of it had come": ("RSET", 1, {}),
    "the untouched copy was taken, and the answer lost": (f"DATA {BERT}", 1, {BERT: 2}),
    "the untouched copy was taken": ("MAIL", 3, {}),
    "the first tracked copy was taken, and the answer lost": (f"DATA {ANNA}", 1, {ANNA: 2}),
    "the first tracked copy was taken": ("MAIL", 4, {}),
    "every copy was taken, and the answer lost": (f"DATA {CARA}", 1, {CARA: 2}),
}


@pytest.mark.parametrize("stage", STAGES)
def test_killed_when(line: Line, stage: str) -> None:
    """The client tries again: everybody has the message once, and twice only where the next hop's answer was lost."""
    command, time, twice = STAGES[stage]
    octets, before, pid = offer(stage.replace(" ", ".")), len(line.next_hop.sink.taken), line.tracker.pid
    heard = Counter[str]()

    def kill(heard_now: str) -> None:
        heard[command] += heard_now.startswith(command)
        if heard[command] == time:
            os.kill(pid, signal.SIGKILL)

    line.next_hop.before_answer = kill
    try:
        if command == "half":
            with smtplib.SMTP("127.0.0.1", line.port, "app.example", timeout=60) as smtp:
                smtp.ehlo()
                smtp.mail(FROM)
                for one in (ANNA, CARA, BERT):
                    smtp.rcpt(one)
                assert smtp.docmd("DATA")[0] == 354
                smtp.send(octets[:50])
                os.kill(pid, signal.SIGKILL)
                smtp.close()
        else:
            with pytest.raises((smtplib.SMTPException, OSError)):
                line.send(octets, ANNA, CARA, BERT)
    finally:
        line.next_hop.before_answer = lambda command: None
    assert line.tracker.wait() == -signal.SIGKILL, "it was killed when it should be"
    line.tracker.start()
    line.send(octets, ANNA, CARA, BERT)
    assert line.recipients_since(before) == {ANNA: 1, BERT: 1, CARA: 1} | twice
    for taken in line.next_hop.sink.taken[before:]:
        assert is_tracked(taken) == (taken.recipients != (BERT,))
        assert taken.recipients != (BERT,) or taken.below_received == octets


def test_while_the_next_hop_is_away_the_client_keeps_its_mail(line: Line) -> None:
    before = len(line.next_hop.sink.taken)
    with line.next_hop.away():
        for _ in range(2):
            with pytest.raises(smtplib.SMTPSenderRefused) as refused:
                line.send(offer("away"), ANNA, BERT)
            assert (refused.value.smtp_code, refused.value.smtp_error[:6]) == (451, b"4.4.1 ")
        assert line.tracker.api("GET", "/health/ready").status == 200, (
            "pixels, redirects and rewriting need no next hop"
        )
    line.send(offer("away"), ANNA, BERT)
    assert line.recipients_since(before) == {ANNA: 1, BERT: 1}


def test_a_next_hop_that_takes_its_time_is_waited_for_and_holds_up_nothing_else(line: Line) -> None:
    before, many = len(line.next_hop.sink.taken), MOST

    async def all_of_them() -> None:
        with line.next_hop.holding():
            sending = [asyncio.create_task(hand_in(line.port, offer(f"slow-{n}"), ANNA, BERT)) for n in range(many)]
            await asyncio.to_thread(line.next_hop.until, lambda sink: waiting() == many)
            assert not any(task.done() for task in sending), "nothing is acknowledged that was not taken"
            assert (await asyncio.to_thread(line.tracker.public, "GET", "/privacy")).status == 200
            rewritten = await asyncio.to_thread(line.tracker.rewrite, LETTER, ANNA)
            assert rewritten.headers["Tracker-Outcome"] == "tracked"
        assert {code for task in sending for code in [await task]} == {250}

    def waiting() -> int:
        return sum(command.startswith(f"DATA {BERT}") for command in line.next_hop.sink.commands[since:])

    since = len(line.next_hop.sink.commands)
    asyncio.run(all_of_them())
    assert line.recipients_since(before) == {ANNA: many, BERT: many}


def test_while_the_store_is_away_mail_flows_untouched(line: Line) -> None:
    before, many = len(line.next_hop.sink.taken), 40

    async def all_of_them() -> None:
        codes = await asyncio.gather(*(hand_in(line.port, offer(f"store-{n}"), ANNA, BERT) for n in range(many)))
        assert set(codes) == {250}

    with faults.locked(line.tracker.folder):
        asyncio.run(all_of_them())
        taken = line.next_hop.since(before, many)
    assert {each.recipients for each in taken} == {(ANNA, BERT)}
    assert sorted(each.below_received for each in taken) == sorted(offer(f"store-{n}") for n in range(many))
    until("", tracker=line.tracker)
    line.send(offer("store-is-back"), ANNA)
    assert is_tracked(line.next_hop.sink.taken[-1])


def test_a_thousand_messages_at_once_take_bounded_memory_and_none_is_lost(line: Line) -> None:
    """A campaign as listmonk sends it: a message of its own for everybody, half of whom agreed."""
    before = len(line.next_hop.sink.taken)
    people = [f"reader{number}@example.org" for number in range(CROWD)]
    grants = "".join(json.dumps(consent(one)) + "\n" for one in people[::2]).encode()
    answer = line.tracker.api("POST", "/v1/consents/batch", grants, content_type="application/x-ndjson")
    assert answer.body.count(b'"live"') == CROWD // 2
    octets = {one: campaign_mail(number, one) for number, one in enumerate(people)}
    rest = sum(map(crowds.memory_of, line.tracker.processes))

    async def all_of_them() -> Counter[int]:
        return Counter(await asyncio.gather(*(until_taken(line.port, octets[one], one) for one in people)))

    attempts = asyncio.run(all_of_them())
    assert line.recipients_since(before) == dict.fromkeys(people, 1), "nobody is lost, nobody has it twice"
    taken = {each.recipients[0]: each for each in line.next_hop.sink.taken[before:]}
    tracked = [one for one in people if is_tracked(taken[one])]
    assert set(tracked) <= set(people[::2])
    assert all(taken[one].below_received == octets[one] for one in people if one not in set(tracked))
    assert len(tracked) > CROWD // 4, "who has no time for a copy lets it go as it came, but a crowd is no reason"
    peak = sum(map(crowds.peak_of, line.tracker.processes))
    print(f"\n{CROWD} at once: {rest / MIB:.0f} MiB before, {peak / MIB:.0f} MiB at the peak")
    print(f"{len(tracked)} tracked; so many attempts: {dict(attempts)}")
    assert peak < 256 * MIB + 150 * MIB
    (figures,) = line.tracker.api("GET", "/v1/stats/messages?label=Rundbrief").json["messages"]
    assert figures["tracked"] == len(tracked), "one message in the figures"
    check_log(line.tracker)


def campaign_mail(number: int, recipient: str) -> bytes:
    """27 kB, as a newsletter is."""
    paragraphs = "".join(f'<p><a href="https://shop.example/{n}">{"word " * 100}</a></p>\r\n' for n in range(48))
    return message(
        paragraphs, To=recipient, Subject="Rundbrief",
        **{"Message-ID": f"<{number}@list>", LISTMONK[0]: "5b3d9f6e", LISTMONK[1]: f"77aa-{number}"},
    )  # fmt: skip


async def until_taken(port: int, octets: bytes, recipient: str) -> int:
    """Try as a mail server does, until the message is acknowledged; after how many attempts."""
    for attempt in range(1, 20):
        code = await hand_in(port, octets, recipient)
        if code == 250:
            return attempt
        assert 400 <= code < 500, code
    raise AssertionError(f"{recipient} was put off for ever")


async def hand_in(port: int, octets: bytes, *recipients: str) -> int:
    """Hand OCTETS in on a connection of their own; the code that ended it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)

    async def said(*lines: bytes) -> int:
        writer.writelines(lines)
        while (answer := await asyncio.wait_for(reader.readline(), 120))[3:4] == b"-":
            pass
        return int(answer[:3] or b"421")

    try:
        code = await said()
        commands = [b"EHLO crowd\r\n", f"MAIL FROM:<{FROM}>\r\n".encode()]
        commands += [f"RCPT TO:<{one}>\r\n".encode() for one in recipients]
        for command in [*commands, b"DATA\r\n"]:
            if code >= 400:
                return code
            code = await said(command)
        return await said(octets.replace(b"\r\n.", b"\r\n.."), b".\r\n") if code == 354 else code
    except (ConnectionError, TimeoutError):
        return 421
    finally:
        writer.close()
