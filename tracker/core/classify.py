"""Tells what kind of agent made a hit, from what it says of itself; address and device end here.

The rules are a table: each names what it looks for and its verdict, and the verdict of the least human rule counts,
so that their order means nothing. A hit that no rule knows is a person's.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from tracker.model import Agent, Hit


@dataclass(frozen=True, slots=True)
class Rule:
    """One way to recognise an agent. A verdict of None: not counted at all."""

    name: str
    matches: Callable[[Hit], bool]
    verdict: Agent | None


def _says(header: str, pattern: str) -> Callable[[Hit], bool]:
    compiled = re.compile(pattern, re.IGNORECASE)
    return lambda hit: compiled.search(hit.headers.get(header, "")) is not None


RULES: tuple[Rule, ...] = (
    # RFC 9110 section 9.3.2: HEAD fetches nothing to show.
    Rule("HEAD", lambda hit: hit.method != "GET", None),
    # Fetch standard, Sec-Purpose; older browsers said Purpose or X-Moz.
    Rule("prefetch", _says("sec-purpose", r"\b(?:prefetch|prerender)\b"), None),
    Rule("prefetch, WebKit", _says("purpose", r"\b(?:prefetch|preview|prerender)\b"), None),
    Rule("prefetch, Gecko", _says("x-moz", r"\bprefetch\b"), None),
    # Global Privacy Control: exactly "1" counts (LAW.md R38).
    Rule("Global Privacy Control", lambda hit: hit.headers.get("sec-gpc") == "1", None),
    # Image proxies of mail services fetch when a person opens the message.
    Rule("image proxy", _says("user-agent", r"GoogleImageProxy|YahooMailProxy"), Agent.PROXY),
    Rule(
        "a robot by its own name",
        _says(
            "user-agent",
            r"bot\b|crawler|spider|scanner|link.?check|url.?preview|monitoring|Barracuda|Mimecast|Proofpoint",
        ),
        Agent.MACHINE,
    ),
)


def classify(hit: Hit) -> Agent | None:
    """Who made HIT; None when it is not to be counted at all."""
    verdicts = [rule.verdict for rule in RULES if rule.matches(hit)]
    if None in verdicts:
        return None
    return min((verdict for verdict in verdicts if verdict is not None), default=Agent.HUMAN)
