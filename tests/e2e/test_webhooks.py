"""Another system is told by the real program: at least once over a kill, and nothing of who withdrew."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.mail import link, message, pixel, stop
from tests.harness import CONTROLLER, PATIENCE, Installation, Reply
from tests.receiver import SECRET, Receiver
from tracker.flows.webhooks import LEASE

pytestmark = pytest.mark.e2e
ANNA = "anna@kunde.example"
ENOUGH = 240
"""Seconds of an hour for a test; a clock that is further ahead than five minutes no receiver believes."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as one:
        yield one


@pytest.fixture
def telling(tmp_path: Path, receiver: Receiver) -> Iterator[Installation]:
    made = Installation.copied(
        tmp_path / "tracker",
        TRACKER_WEBHOOK_URL=receiver.url,
        TRACKER_WEBHOOK_SECRET=SECRET,
        TRACKER_WEBHOOK_SOURCE="tests",
        TRACKER_WEBHOOK_PRIVATE="true",
    )
    text = made.folder / "text.txt"
    text.write_text(f"{CONTROLLER} fragt: Dürfen wir messen und es unserem CRM sagen?", encoding="utf-8")
    for version, features in (("told", ("webhook",)), ("watched", ("webhook", "live"))):
        words = [word for feature in features for word in ("--feature", feature)]
        made.run("notice", "add", version, "--language", "de", *words, str(text))
    yield made
    made.kill()


def sent(tracker: Installation, notice: str) -> Reply:
    """A tracked copy for Anna, whom the mail system calls 4711."""
    assert tracker.grant(ANNA, notice_version=notice, reference="4711").status == 201
    html = '<p>See <a href="https://shop.example/a">our offer</a></p>'
    answer = tracker.rewrite(message(html), ANNA, tracker_reference="4711", tracker_label="Offer")
    assert answer.headers["Tracker-Outcome"] == "tracked", answer.headers
    return answer


def taken(tracker: Installation, kind: str) -> float:
    """How many webhooks of KIND the other system took, as the metrics have it once it stands there."""
    series = f'tracker_webhooks_total{{kind="{kind}",result="taken"}} '
    end = time.monotonic() + PATIENCE
    while True:
        lines = tracker.api("GET", "/metrics").body.decode().splitlines()
        (value,) = [float(line.removeprefix(series)) for line in lines if line.startswith(series)]
        if value or time.monotonic() > end:
            return value
        time.sleep(0.05)


def clock_of(tracker: Installation) -> Path:
    """The file that says by how many seconds TRACKER's clock is ahead, which are none yet."""
    ahead = tracker.folder.parent / "ahead"
    ahead.write_text("0")
    tracker.program = ("tests.clocked", str(ahead))
    tracker.environment["PYTHONPATH"] = str(Path(__file__).parents[2])
    return ahead


def test_an_event_is_told_again_when_its_sender_is_killed_and_then_no_more(
    telling: Installation, receiver: Receiver
) -> None:
    ahead = clock_of(telling)
    receiver.silent = True
    with telling:
        telling.public("GET", link(sent(telling, "watched")))
        receiver.until(lambda one: one.heard)
        telling.stop(signal.SIGKILL)
    receiver.silent = False
    ahead.write_text(str(LEASE.total_seconds()))  # until then it is taken for somebody's who still sends it
    with telling:
        receiver.until(lambda one: len(one.heard) >= 2)
        telling.public("GET", pixel(sent(telling, "watched")))
        receiver.until(lambda one: any(told["type"] == "message.opened" for _, told in one.taken))
        assert taken(telling, "event") >= 1
        assert "ok    the other system takes webhooks" in telling.run("doctor")
    (first, told), *later = [one for one in receiver.heard if one[1]["type"] == "message.clicked"]
    assert [identifier for identifier, _ in later] == [first]
    assert told["data"]["references"] == ["4711"]
    assert told["data"]["link"] == {"host": "shop.example", "path": "/a"}
    assert told["data"]["message"]["label"] == "Offer"
    assert ANNA not in str(receiver.heard)


def test_a_withdrawal_is_told_and_takes_along_what_waits_for_its_hour(
    telling: Installation, receiver: Receiver
) -> None:
    ahead = clock_of(telling)
    left = 3_600 - time.time() % 3_600
    if left < ENOUGH:  # else the hour might turn in the middle
        ahead.write_text(str(left + 1))
    with telling:
        copy = sent(telling, "told")
        telling.public("GET", link(copy))
        telling.until_written()
        assert telling.public("POST", f"{stop(copy)}/withdraw").status == 200
        receiver.until(lambda one: one.taken)
        assert [told["type"] for _, told in receiver.heard] == ["consent.withdrawn"]
        assert receiver.taken[0][1]["data"]["references"] == ["4711"]
    log = telling.log_file.read_text()
    assert ANNA not in log
    assert "4711" not in log


def test_settings_that_do_not_fit_together_stop_the_start(telling: Installation) -> None:
    telling.environment["TRACKER_WEBHOOK_PRIVATE"] = "false"
    assert b"webhook_url: without https" in telling.process("serve", status=1).stderr
    del telling.environment["TRACKER_WEBHOOK_SECRET"]
    told = telling.process("serve", status=1).stderr
    assert b"webhook_url, webhook_secret, webhook_source: one is nothing without the others" in told
