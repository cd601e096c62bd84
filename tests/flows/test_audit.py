"""An audit finds trackers in folders, Maildirs and mboxes, changes nothing, and looks at nothing else."""

from __future__ import annotations

import base64
import mailbox
import os
import quopri
import tracemalloc
from pathlib import Path

import pytest

from tracker.flows import audit as flow
from tracker.flows.audit import Audited, Skipped, Totals, audit, size_of, trackers_in

PIXEL = '<img src="https://mailtrack.io/trace/mail/0eabccbe98c98e9b8e9a.png" width="1" height="1">'
LINK = '<a href="https://u1.ct.sendgrid.net/ls/click?upn=abc">offer</a>'
HEAD = b"From: Jonas <jonas@werkstatt-nord.example>\r\nTo: anna@example.org\r\nSubject: Offer\r\nMIME-Version: 1.0\r\n"
TRACKING = HEAD + b"Content-Type: text/html\r\n\r\n<p>Hello</p>" + (PIXEL + LINK + LINK).encode() + b"\r\n"
PLAIN = HEAD + b"Content-Type: text/plain\r\n\r\nHello " + PIXEL.encode() + b"\r\n"
FOUND = (("link", "SendGrid", 2), ("pixel", "Mailtrack", 1))


def tracking(path: Path) -> dict[str, tuple[tuple[str, str, int], ...]]:
    return {one.where: one.trackers for one in audit(path) if one.trackers}


@pytest.mark.parametrize("encoding", ["8bit", "quoted-printable", "base64"])
@pytest.mark.parametrize("kind", ["text/html", "multipart/alternative", "multipart/signed"])
def test_trackers_are_found_in_every_encoding_and_in_signed_mail(encoding: str, kind: str) -> None:
    html = f"<p>Grüße</p>{PIXEL}{LINK}{LINK}".encode()
    coded = {"8bit": html, "quoted-printable": quopri.encodestring(html), "base64": base64.encodebytes(html)}[encoding]
    part = (
        b"Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: "
        + encoding.encode()
        + b"\r\n\r\n"
        + coded
    )
    if kind == "text/html":
        message = HEAD + part
    else:
        message = HEAD + f'Content-Type: {kind}; boundary="b"\r\n\r\n--b\r\n'.encode() + part + b"\r\n--b--\r\n"
    assert trackers_in(message) == FOUND


def test_attachments_and_plain_text_track_nobody() -> None:
    assert trackers_in(PLAIN) == ()
    assert trackers_in(TRACKING.replace(b"Content-Type", b"Content-Disposition: attachment\r\nContent-Type")) == ()


def test_a_folder_is_read_in_order_with_its_subfolders(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "2.eml").write_bytes(TRACKING)
    (tmp_path / "1.eml").write_bytes(PLAIN)
    (tmp_path / "notes.txt").write_text("To do\n\nFrom: here\n")
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n" * 100)
    (tmp_path / "empty").touch()
    found = list(audit(tmp_path))
    assert [(one.where, one.skipped) for one in found] == [
        ("1.eml", None), ("empty", "no-message"), ("notes.txt", "no-message"), ("picture.png", "no-message"),
        ("b/2.eml", None),
    ]  # fmt: skip
    assert found[-1].trackers == FOUND
    assert sum(one.size for one in found) == size_of(tmp_path)


def test_a_single_message_is_a_path_too(tmp_path: Path) -> None:
    (tmp_path / "1.eml").write_bytes(TRACKING)
    assert tracking(tmp_path / "1.eml") == {"1.eml": FOUND}


def test_a_maildir_is_read_but_for_what_is_being_delivered(tmp_path: Path) -> None:
    box = mailbox.Maildir(tmp_path / "Sent", create=True)
    box.add(TRACKING)
    box.add_folder("2026").add(TRACKING)
    (tmp_path / "Sent" / "tmp" / "half").write_bytes(TRACKING)
    assert len(tracking(tmp_path / "Sent")) == 2


def test_an_mbox_is_read_message_by_message(tmp_path: Path) -> None:
    box = mailbox.mbox(tmp_path / "sent")
    for message in (TRACKING, PLAIN, PLAIN.replace(b"Hello", b"Hello\r\n\r\nFrom here on"), TRACKING):
        box.add(message)
    box.close()
    found = list(audit(tmp_path / "sent"))
    assert [(one.where, bool(one.trackers)) for one in found] == [
        ("sent#1", True), ("sent#2", False), ("sent#3", False), ("sent#4", True),
    ]  # fmt: skip
    assert sum(one.size for one in found) == size_of(tmp_path / "sent")


def test_links_are_never_followed_and_pipes_never_opened(tmp_path: Path) -> None:
    outside, inside = tmp_path / "outside", tmp_path / "inside"
    outside.mkdir()
    inside.mkdir()
    (outside / "1.eml").write_bytes(TRACKING)
    (inside / "file").symlink_to(outside / "1.eml")
    (inside / "folder").symlink_to(outside)
    (inside / "loop").symlink_to(inside)
    os.mkfifo(inside / "pipe")
    assert {one.where: one.skipped for one in audit(inside)} == {
        "file": Skipped.LINK, "folder": Skipped.LINK, "loop": Skipped.LINK, "pipe": Skipped.NO_MESSAGE,
    }  # fmt: skip


def test_what_cannot_be_read_is_said_and_the_rest_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "1.eml").write_bytes(TRACKING)
    (tmp_path / "2.eml").write_bytes(TRACKING)
    really = os.open

    def refusing(path: Path, flags: int) -> int:
        if path.name == "1.eml":
            raise PermissionError
        return really(path, flags)

    monkeypatch.setattr(os, "open", refusing)
    assert [one.skipped for one in audit(tmp_path)] == [Skipped.UNREADABLE, None]


def test_names_show_no_address_and_steer_no_terminal(tmp_path: Path) -> None:
    (tmp_path / "anna@example.org").mkdir()
    (tmp_path / "anna@example.org" / "a\x1b[2Jb.eml").write_bytes(TRACKING)
    (one,) = audit(tmp_path)
    assert "anna" not in one.where
    assert "\x1b" not in one.where


def test_an_audit_writes_nothing(tmp_path: Path) -> None:
    (tmp_path / "1.eml").write_bytes(TRACKING)
    before = {path: path.stat() for path in (tmp_path, tmp_path / "1.eml")}
    list(audit(tmp_path))
    for path, was in before.items():
        now = path.stat()
        assert (now.st_mtime_ns, now.st_ctime_ns, now.st_size) == (was.st_mtime_ns, was.st_ctime_ns, was.st_size)


def test_a_long_mbox_takes_the_memory_of_one_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow, "LARGEST", 200_000)
    filler = b"<p>Hello</p>\n" * 1_000
    with (tmp_path / "sent").open("wb") as out:
        for number in range(300):
            size = 40 if number == 150 else 1
            out.write(
                b"From MAILER Mon Nov 23 22:00:00 2026\n" + TRACKING.replace(b"\r\n", b"\n") + filler * size + b"\n"
            )
    tracemalloc.start()
    totals = Totals()
    for one in audit(tmp_path / "sent"):
        totals.add(one)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (totals.messages, totals.skipped[Skipped.TOO_LARGE]) == (299, 1)
    assert peak < 2_500_000
    assert size_of(tmp_path / "sent") > 4_000_000


def test_totals_count_messages_once_for_each_service() -> None:
    totals = Totals()
    totals.add(Audited("1", (("link", "A", 3), ("pixel", "A", 1), ("pixel", "B", 1))))
    totals.add(Audited("2"))
    totals.add(Audited("3", skipped=Skipped.LINK))
    assert (totals.messages, totals.tracking, dict(totals.found)) == (2, 1, {"link": 3, "pixel": 2})
    assert dict(totals.by_vendor["A"]) == {"messages": 1, "link": 3, "pixel": 1}
