"""Who made a hit: every rule knows its own agents, and the order of the rules means nothing."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable

import pytest
from crawleruseragents import CRAWLER_USER_AGENTS_DATA, is_crawler
from hypothesis import given
from hypothesis import strategies as st

from tests.agents import FOLDER, NAMES, NOW, SERIES, Case, Series, cases, confusion, misjudged, series
from tests.harness import BROWSER
from tests.linear import assert_linear
from tracker.core.agents import MICROSOFTS_FILTER, ORDINARY, OWN_WORDS, SCANNERS
from tracker.core.classify import (
    FIELDS,
    KNOWN,
    LONGEST,
    MACHINE_SECONDS,
    RULES,
    SKEW,
    Classifier,
    Rule,
    Sight,
    Verdict,
    classify,
)
from tracker.core.crawlers import CRAWLERS, EXCEPTED, one_pattern
from tracker.model import Agent, Hit, Purpose

CASES = list(cases())
HOUR = 3_600.0
NO_RULE = {"people", "not-told-apart", SERIES}


def file_of(rule: Rule) -> str:
    """Where a rule's agents stand."""
    return re.sub("[^a-z]+", "-", rule.name.lower().replace("'", ""))


def hit(method: str = "GET", peer: str = "192.0.2.1", **headers: str) -> Hit:
    return Hit(method, {name.replace("_", "-"): value for name, value in headers.items()}, peer, NOW)


def told(one: Hit, purpose: Purpose = Purpose.OPEN) -> Agent | None:
    return classify(one, purpose, HOUR).agent


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.file}: {case.name}")
def test_each_agent_gets_the_verdict_that_its_file_says(case: Case) -> None:
    """R36: scanners, prefetch and the proxies of mail services, by what real ones send."""
    assert case.source, "where is that known from?"
    assert case.told() == case.expected
    assert (case.expected == case.truth) is not bool(case.why), "a misjudged case says why, another does not"


@pytest.mark.parametrize("one", list(series()), ids=lambda one: one.name)
def test_each_series_of_hits_gets_the_verdict_that_its_file_says(one: Series) -> None:
    """R36: bursts over links."""
    assert one.told() == one.expected
    assert one.told(workers=1) == one.expected


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_each_rule_is_needed_by_its_own_file(rule: Rule) -> None:
    own = [case for case in CASES if case.file == file_of(rule)]
    assert own, "no such file"
    others = tuple(one for one in RULES if one is not rule)
    changed = [case for case in own if NAMES[classify(*case.situation, rules=others).agent] != case.told()]
    assert changed, "the file would be judged the same without the rule"
    assert all(rule.matches(Sight(*case.situation)) for case in own), "a case that the rule does not know"


def test_every_file_is_a_rules_or_says_that_none_knows_it() -> None:
    files = {path.stem for path in FOLDER.glob("*.toml")}
    assert files == {file_of(rule) for rule in RULES} | NO_RULE
    for case in CASES:
        if case.file in NO_RULE:
            assert not [rule.name for rule in RULES if rule.matches(Sight(*case.situation))], case.name


@given(st.permutations(RULES))
def test_shuffling_the_table_changes_no_verdict(rules: list[Rule]) -> None:
    for case in CASES:
        verdict = classify(*case.situation, rules=rules)
        assert NAMES[verdict.agent] == case.expected
        assert verdict == classify(*case.situation)


@given(
    st.permutations(RULES),
    st.builds(
        Hit,
        st.sampled_from(["GET", "HEAD"]),
        st.dictionaries(
            st.sampled_from(["user-agent", "sec-purpose", "purpose", "x-moz", "sec-gpc", "accept"]),
            st.sampled_from([case.user_agent or "" for case in CASES]) | st.sampled_from(["1", "prefetch"]) | st.text(),
        ),
        st.sampled_from(["192.0.2.1", "104.47.1.1", "::ffff:40.92.0.1", "", "104.47.", "2a01:111:f400::1"]),
        st.just(NOW),
    ),
    st.sampled_from([Purpose.OPEN, Purpose.CLICK]),
    st.floats(-100, 100),
)
def test_shuffling_the_table_changes_no_verdict_on_anything_else(
    rules: list[Rule], one: Hit, purpose: Purpose, age: float
) -> None:
    assert classify(one, purpose, age, rules=rules) == classify(one, purpose, age)


def test_the_confusion_table_is_as_printed() -> None:
    """`python -m tests.agents` prints it. Whoever changes a rule reads here what that did."""
    assert confusion() == Counter(
        {
            ("human", "human"): 33,
            ("human", "machine"): 3,
            ("proxy", "proxy"): 7,
            ("proxy", "human"): 1,
            ("machine", "machine"): 61,
            ("machine", "human"): 5,
            ("none", "none"): 2,
        }
    )
    assert {one.name for one in misjudged()} == {
        "Defender loads the image from its sandbox",
        "Defender tries one link from Azure",
        "Proton's proxy, which gives a browser's name",
        "Trend Micro with an old Chrome's name",
        "a person on the telephone, who opens the mail as it comes in",
        "a person's privacy app that strips the header",
        "a scanner follows a person's click twelve seconds later",
        "a slow filter follows four links, one each second",
        "an app for people that uses a library for programs",
    }


def test_the_table_stands_on_many_real_agents() -> None:
    assert len({case.user_agent for case in CASES if case.real and case.user_agent}) >= 60


# --- single rules --------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["0", "1, 1", " 1", "true", ""])
def test_only_exactly_one_is_a_privacy_signal(value: str) -> None:
    """R38: exactly 1."""
    assert told(hit(user_agent=BROWSER, sec_gpc=value)) is Agent.HUMAN
    assert told(hit(user_agent=BROWSER, sec_gpc="1")) is None


@pytest.mark.parametrize("agent", [BROWSER, "curl/8.0", "Mozilla/5.0", ""])
@pytest.mark.parametrize(
    "one",
    [hit("HEAD"), hit(sec_purpose="prefetch"), hit(x_moz="prefetch"), hit("HEAD", purpose="preview")],
    ids=lambda one: f"{one.method} {dict(one.headers)}",
)
def test_head_and_prefetch_are_a_machines_and_leave_nothing_whoever_made_them(one: Hit, agent: str) -> None:
    """R36, PAINS 16: nothing was shown to anybody."""
    one.headers["user-agent"] = agent  # type: ignore[index]
    for purpose in Purpose:
        assert classify(one, purpose, HOUR) == Verdict(Agent.MACHINE, recorded=False)


@pytest.mark.parametrize("one", [hit(sec_gpc="1"), hit("HEAD", sec_gpc="1"), hit(sec_gpc="1", purpose="prefetch")])
def test_who_wants_to_be_left_alone_is_not_even_told_apart(one: Hit) -> None:
    """R38: whatever else is known."""
    for agent in (BROWSER, "curl/8.0", "Mozilla/5.0", ""):
        one.headers["user-agent"] = agent  # type: ignore[index]
        assert classify(one, Purpose.CLICK, HOUR) == Verdict(None, recorded=False)


def test_all_that_is_shown_to_somebody_is_recorded() -> None:
    silent = {file_of(rule) for rule in RULES if not rule.recorded}
    assert silent == {"not-a-get", "prefetch", "global-privacy-control"}
    assert {case.file for case in CASES if not classify(*case.situation).recorded} == silent
    assert all(rule.verdict in (Agent.MACHINE, None) for rule in RULES if not rule.recorded), "or it is asked again"


@pytest.mark.parametrize("age", [0, 1, MACHINE_SECONDS - 0.001, -SKEW])
def test_within_seconds_of_the_token_everybody_is_a_machine(age: float) -> None:
    assert classify(hit(user_agent=BROWSER), Purpose.OPEN, age).agent is Agent.MACHINE


@pytest.mark.parametrize("age", [MACHINE_SECONDS - 0.001, HOUR])
def test_like_a_person_is_whoever_the_time_alone_speaks_against(age: float) -> None:
    """Their haste over links tells; that of crawlers and link previews would cost the person beside them their hour."""
    for case in CASES:
        one, purpose, _ = case.situation
        others = [rule for rule in RULES if rule.name != "too soon" and rule.matches(Sight(one, purpose, age))]
        assert classify(one, purpose, age).like_a_person is not bool(others), case.name
    assert [rule.name for rule in RULES if rule.of_time] == ["too soon"]


@pytest.mark.parametrize("age", [MACHINE_SECONDS, 60, 10**7, -SKEW - 1])
def test_later_nobody_is_a_machine_for_that_nor_when_the_clock_was_set_back(age: float) -> None:
    assert classify(hit(user_agent=BROWSER), Purpose.OPEN, age).agent is Agent.HUMAN


def test_how_long_is_for_the_operator_to_say() -> None:
    assert classify(hit(user_agent=BROWSER), Purpose.CLICK, 90, 120).agent is Agent.MACHINE
    assert classify(hit(user_agent=BROWSER), Purpose.CLICK, 0, 0).agent is Agent.HUMAN
    assert classify(hit(user_agent=BROWSER), Purpose.CLICK, -5, 0).agent is Agent.HUMAN


@pytest.mark.parametrize("network", MICROSOFTS_FILTER, ids=str)
def test_microsofts_filter_is_known_by_its_address_at_links_alone(network: object) -> None:
    first = hit(user_agent=BROWSER, peer=str(network).partition("/")[0])
    assert told(first, Purpose.CLICK) is Agent.MACHINE
    assert told(first, Purpose.OPEN) is Agent.HUMAN


@pytest.mark.parametrize("peer", ["40.91.255.255", "40.94.0.0", "104.47.128.1", "2a01:111:f402::1", "", "40.x", "4"])
def test_neighbours_of_microsofts_filter_are_nobody_special(peer: str) -> None:
    assert told(hit(user_agent=BROWSER, peer=peer), Purpose.CLICK) is Agent.HUMAN


# --- the lists -----------------------------------------------------------------------------------


@given(st.from_regex(ORDINARY, fullmatch=True))
def test_nothing_is_missed_in_the_user_agents_that_are_not_looked_through(agent: str) -> None:
    rest = [rule for rule in RULES if rule.matches(Sight(hit(user_agent=agent), Purpose.OPEN, HOUR))]
    assert {rule.name for rule in rest} <= {"image proxy", "Apple Mail Privacy Protection", "Gmail's look ahead"}
    assert not CRAWLERS.search(agent)
    assert not SCANNERS.search(agent.lower())
    assert not OWN_WORDS.search(agent.lower())


def test_most_people_need_no_search_through_the_lists() -> None:
    people = [case.user_agent or "" for case in CASES if case.file == "people"]
    assert sum(ORDINARY.fullmatch(agent) is not None for agent in people) > len(people) / 2


def test_filing_the_patterns_loses_none() -> None:
    """Ours is the package's own list, ten times as fast: on every user agent that it was made for, and on people's."""
    pattern = one_pattern(entry["pattern"] for entry in CRAWLER_USER_AGENTS_DATA)
    agents = [agent for entry in CRAWLER_USER_AGENTS_DATA for agent in entry["instances"]]
    agents += [case.user_agent for case in CASES if case.user_agent]
    assert len(agents) > 2_000
    for agent in agents:
        assert bool(pattern.search(agent)) is is_crawler(agent), agent


def test_what_is_excepted_from_the_list_still_stands_in_it() -> None:
    assert {entry["pattern"] for entry in CRAWLER_USER_AGENTS_DATA} >= EXCEPTED


@pytest.mark.parametrize("piece", ["Mozilla/5.0 ", "(compatible; ", "a", "Chrome/1", ".", "(Windows NT 5.1; rv:11.0) "])
@pytest.mark.parametrize(
    "pattern", [ORDINARY, CRAWLERS, SCANNERS, OWN_WORDS], ids=["ordinary", "crawlers", "makers", "own"]
)
def test_no_pattern_takes_more_than_linear_time(pattern: re.Pattern[str], piece: str) -> None:
    def prepared(size: int) -> Callable[[], object]:
        agent = piece * (size // len(piece)) + "\0"
        return lambda: (pattern.fullmatch(agent), pattern.search(agent))

    assert_linear(prepared, 4_000, 40_000)


def test_a_user_agent_is_read_up_to_a_length_alone() -> None:
    assert told(hit(user_agent=BROWSER.ljust(LONGEST) + "bot")) is Agent.HUMAN
    assert told(hit(user_agent=BROWSER.ljust(LONGEST - 4) + " bot")) is Agent.MACHINE


def test_who_remembers_verdicts_gives_the_same_and_remembers_no_user_agent() -> None:
    remembering = Classifier()
    for _ in range(2):
        for case in CASES:
            one, purpose, age = case.situation
            assert remembering(one, purpose, age) == classify(one, purpose, age), case.name
    assert all(type(key) is int for key in remembering._known)
    assert {verdict.agent for verdict in remembering._known.values()} <= {*Agent, None}


@given(st.text(max_size=2 * LONGEST), st.sampled_from(Purpose), st.sampled_from([0, 5, 3_600]))
def test_a_remembered_verdict_is_that_of_the_rules(agent: str, purpose: Purpose, age: int) -> None:
    remembering, one = Classifier(), hit(user_agent=agent)
    for _ in range(2):
        assert remembering(one, purpose, age) == classify(one, purpose, age)


def test_what_is_remembered_has_an_end() -> None:
    remembering = Classifier()
    for number in range(KNOWN + 10):
        remembering(hit(user_agent=f"{BROWSER} {number}"), Purpose.OPEN, HOUR)
    assert len(remembering._known) <= KNOWN


@pytest.mark.parametrize("rule", [rule for rule in RULES if rule.of_head], ids=lambda rule: rule.name)
def test_rules_of_the_head_look_at_nothing_else(rule: Rule) -> None:
    for case in CASES:
        one, purpose, age = case.situation
        looked_at = {name: value for name, value in one.headers.items() if name in FIELDS}
        other = one._replace(headers={**looked_at, "accept": "*/*"}, peer="40.92.0.1", at=NOW.replace(year=2020))
        assert bool(rule.matches(Sight(one, purpose, age))) == bool(rule.matches(Sight(other, purpose, 0.0)))


@pytest.mark.parametrize("rule", [rule for rule in RULES if not rule.of_head], ids=lambda rule: rule.name)
def test_verdicts_of_the_other_rules_are_the_least_human_but_none(rule: Rule) -> None:
    """So that who is a program by its head need not be looked at again."""
    assert rule.verdict is Agent.MACHINE
    assert rule.recorded


def test_a_verdict_is_remembered_under_the_number_of_a_head() -> None:
    remembering = Classifier()
    for _ in range(2):
        for number, case in enumerate(CASES):
            one, purpose, age = case.situation
            known = one._replace(number=number)
            assert remembering(known, purpose, age) == classify(one, purpose, age), case.name
