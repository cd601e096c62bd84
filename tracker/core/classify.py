"""Tells what kind of agent made a hit, from headers, address and timing; address and device end here.

The rules are a table: each names what it looks for and its verdict, and the verdict of the least human rule counts,
so that their order means nothing. A hit that no rule knows is a person's. Each rule has a file of the same name in
tests/data/agents with real user agents and their sources; deploy/agents.md tells operators what comes of it.
Hits over many links at once are told by `core/bursts`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from ipaddress import IPv6Address, ip_address
from typing import Final, NamedTuple

from tracker.core.agents import MICROSOFTS_FILTER, ORDINARY, OWN_WORDS, PROXIES, SCANNERS
from tracker.core.crawlers import CRAWLERS
from tracker.model import Agent, Hit, Purpose

MACHINE_SECONDS: Final = 10
"""Within so many seconds of its token's issue nobody has got, seen and opened a message, but filters have."""
SKEW: Final = 60.0
"""Seconds by which a hit may precede its token: the clocks of two servers differ."""
LONGEST: Final = 512
"""Characters of a user agent that are looked at."""


class Sight:
    """A hit as the rules see it; what none of them looks at is not worked out."""

    def __init__(self, hit: Hit, purpose: Purpose, age: float, machine_seconds: float = MACHINE_SECONDS) -> None:
        """AGE: seconds since the token was issued."""
        self.hit = hit
        self.purpose = purpose
        self.age = age
        self.soon = machine_seconds if machine_seconds > 0 else -SKEW
        """Below which `age` is no person's."""

    @cached_property
    def agent(self) -> str:
        """The user agent."""
        return self.hit.headers.get("user-agent", "")[:LONGEST].strip()

    @cached_property
    def unusual(self) -> str:
        """The same, or nothing when it is made of the words of ordinary browsers alone."""
        return "" if ORDINARY.fullmatch(self.agent) else self.agent

    @cached_property
    def lower(self) -> str:
        """`unusual` in lower case."""
        return self.unusual.lower()


class Rule(NamedTuple):
    """One way to recognise an agent. A verdict of None: it is not told apart, for it does not want to be."""

    name: str
    verdict: Agent | None
    matches: Callable[[Sight], object]
    of_head: bool = True
    """Whether it looks at nothing but the purpose, the method and FIELDS."""
    recorded: bool = True
    """Whether such a hit is kept. One that showed nothing to anybody is not: we keep the least."""
    of_time: bool = False
    """Whether it looks at nothing but the time: what it knows may go as a person does otherwise."""


class Verdict(NamedTuple):
    """Who made a hit, and whether it is recorded; who is not told apart never is."""

    agent: Agent | None
    recorded: bool
    like_a_person: bool = False
    """Whether nothing speaks against a person, but perhaps the time."""

    def and_of(self, rule: Rule) -> Verdict:
        """That of all rules so far and of RULE, in whatever order."""
        agent = None if self.agent is None or rule.verdict is None else min(self.agent, rule.verdict)
        return Verdict(agent, self.recorded and rule.recorded, self.like_a_person and rule.of_time)


_PURPOSES: Final = frozenset({"sec-purpose", "purpose", "x-purpose", "x-moz"})
FIELDS: Final = ("user-agent", "sec-gpc", *sorted(_PURPOSES))
"""What rules look at of a request's fields."""
_PREFETCH: Final = re.compile(r"\b(?:prefetch|preview|prerender)\b", re.IGNORECASE)
_OFFICE: Final = re.compile(r"Microsoft Office (?:Existence|Protocol) Discovery")
_XP: Final = re.compile(
    r"^Mozilla/4\.0 \(compatible; MSIE [1-8]\.\d+; Windows NT 5\.[0-2]\b(?!.*(?:Outlook|ms-office))"
)
_OPEN, _CLICK, _MACHINE = Purpose.OPEN, Purpose.CLICK, Agent.MACHINE
"""Python 3.11 takes a tenth of a microsecond to look one up, each time."""
_GMAIL: Final = "Edge/12.246 Mozilla/5.0"

_NEAR: Final = ("::ffff:", *{re.split(r"[.:]", str(network))[0] for network in MICROSOFTS_FILTER})
"""How addresses begin that are worth looking at."""


def _prefetches(headers: Mapping[str, str]) -> bool:
    return not _PURPOSES.isdisjoint(headers) and any(
        _PREFETCH.search(headers[name]) for name in _PURPOSES & headers.keys()
    )


def _proxy(sight: Sight) -> bool:
    for name in PROXIES:  # noqa: SIM110 - any() takes three times as long
        if name in sight.agent:
            return True
    return False


def _in_microsofts_filter(peer: str) -> bool:
    if not peer.startswith(_NEAR):
        return False
    try:
        address = ip_address(peer)
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return any(address in network for network in MICROSOFTS_FILTER)


RULES: Final[tuple[Rule, ...]] = (
    # RFC 9110 section 9.3.2: HEAD fetches nothing to show.
    Rule("not a GET", Agent.MACHINE, lambda sight: sight.hit.method != "GET", recorded=False),
    # Sec-Purpose: Fetch standard; Purpose and X-Purpose: older WebKit and Chromium; X-Moz: older Gecko.
    Rule("prefetch", Agent.MACHINE, lambda sight: _prefetches(sight.hit.headers), recorded=False),
    # Exactly "1" counts (LAW.md R38).
    Rule("Global Privacy Control", None, lambda sight: sight.hit.headers.get("sec-gpc") == "1", recorded=False),
    # They fetch when a person opens the message.
    Rule("image proxy", Agent.PROXY, lambda sight: sight.purpose is _OPEN and _proxy(sight)),
    # No person is behind an image proxy that asks for a link: it follows none, or somebody goes by its name.
    Rule(
        "image proxy at a link",
        Agent.MACHINE,
        lambda sight: sight.purpose is _CLICK and _proxy(sight),
    ),
    # Apple's relays fetch all images after delivery, whether the message is opened or not, and say just this.
    Rule("Apple Mail Privacy Protection", Agent.MACHINE, lambda sight: sight.agent == "Mozilla/5.0"),
    # Every browser and mail program says something.
    Rule("no user agent", Agent.MACHINE, lambda sight: not sight.agent),
    # Gmail looks at the images of mail that arrives while the person is logged in; an opening comes by its proxy.
    Rule("Gmail's look ahead", Agent.MACHINE, lambda sight: sight.agent.endswith(_GMAIL)),
    Rule("security scanner", Agent.MACHINE, lambda sight: SCANNERS.search(sight.lower)),
    Rule("known crawler", Agent.MACHINE, lambda sight: CRAWLERS.search(sight.unusual)),
    Rule("robot by its own words", Agent.MACHINE, lambda sight: OWN_WORDS.search(sight.lower)),
    # Office asks for a link before it hands it to the browser.
    Rule("Office's link check", Agent.MACHINE, lambda sight: _OFFICE.search(sight.unusual)),
    # Internet Explorer of Windows XP speaks no TLS that servers still accept; filters go by its name.
    Rule("browser of Windows XP", Agent.MACHINE, lambda sight: _XP.search(sight.unusual)),
    Rule("too soon", Agent.MACHINE, lambda sight: -SKEW <= sight.age < sight.soon, of_head=False, of_time=True),
    # Links only: opens come from Microsoft's addresses when people read mail at Outlook.com.
    Rule(
        "Microsoft's mail filter",
        Agent.MACHINE,
        lambda sight: sight.purpose is _CLICK and _in_microsofts_filter(sight.hit.peer),
        of_head=False,
    ),
)


_PERSON: Final = Verdict(Agent.HUMAN, recorded=True, like_a_person=True)
KNOWN: Final = 4_096
"""Verdicts on heads that a process remembers; of the browsers in use a few hundred make nearly all hits."""


class Classifier:
    """Does what `classify` does, in a fraction of its time for heads that were judged before.

    What it remembers are verdicts under numbers: Python's keyed hash of what the rules look at, whose key is drawn anew
    for each process. No user agent outlives its request.
    """

    def __init__(self, machine_seconds: float = MACHINE_SECONDS) -> None:
        self._machine_seconds = machine_seconds
        self._of_head = tuple(rule for rule in RULES if rule.of_head)
        self._others = tuple(rule for rule in RULES if not rule.of_head)
        self._known: dict[int, Verdict] = {}

    def __call__(self, hit: Hit, purpose: Purpose, age: float) -> Verdict:
        """As `classify`."""
        head = hit.number
        if head is None:
            head = hash((hit.method, *map(hit.headers.get, FIELDS)))
        number = hash((head, purpose))
        sight = Sight(hit, purpose, age, self._machine_seconds)
        try:
            verdict = self._known[number]
        except KeyError:
            if len(self._known) >= KNOWN:
                self._known.clear()
            verdict = _judged(self._of_head, sight)
            self._known[number] = verdict
        if verdict.agent is None or verdict.agent is _MACHINE:  # nothing is less human
            return verdict
        return _judged(self._others, sight, verdict)


def classify(
    hit: Hit,
    purpose: Purpose,
    age: float,
    machine_seconds: float = MACHINE_SECONDS,
    rules: Sequence[Rule] = RULES,
) -> Verdict:
    """Who made HIT on a pixel or a link.

    AGE: seconds since its token was issued.
    MACHINE_SECONDS: how long after that nobody can have opened the message; 0 for none.
    """
    return _judged(rules, Sight(hit, purpose, age, machine_seconds))


def _judged(rules: Sequence[Rule], sight: Sight, verdict: Verdict = _PERSON) -> Verdict:
    for rule in rules:
        if rule.matches(sight):
            verdict = verdict.and_of(rule)
    return verdict
