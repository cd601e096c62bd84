"""Links in plain text, on real mail: rewritten without harm, and where people say that links are.

Invariant: that of test_messages, for every message beside the checkout. (The independent judge reads no plain text.)
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.core.test_layout import CORPUS, unsigned
from tests.fuzz.rewriting import TEXT_LINKS, rewritten
from tests.fuzz.test_messages import assert_harmless
from tracker.core.survey import Survey, survey

LARGEST = 300_000


@pytest.fixture(scope="module", autouse=True)
def corpus() -> None:
    if not CORPUS.is_dir():
        pytest.skip("the shared corpus is not beside the checkout")


def test_real_messages_with_links_in_plain_text_are_rewritten_without_harm() -> None:
    tracked = links = text_only = 0
    for path in sorted(CORPUS.rglob("*")):
        if not path.is_file() or path.suffix in (".jsonl", ".tsv", ".md") or path.stat().st_size > LARGEST:
            continue
        one = rewritten(unsigned(path.read_bytes()), policy=TEXT_LINKS)
        if one is None or one.seen.text is None:
            continue
        assert_harmless(one)
        tracked += 1
        links += len(one.seen.text.links)
        text_only += not one.seen.bodies
    assert tracked > 300
    assert links > 500
    assert text_only > 100


def test_the_tricky_messages_have_the_links_that_their_index_names() -> None:
    folder = CORPUS / "tricky"
    named = 0
    for line in (folder / "INDEX.jsonl").read_text().splitlines():
        row = json.loads(line)
        message = Path(folder / row["file"]).read_bytes()
        seen = survey(message, TEXT_LINKS)
        if not isinstance(seen, Survey) or seen.text is None:
            assert not row["text_track"]
            continue
        wanted = [url.casefold() for url in row["text_track"]]
        assert [link.target.casefold() for link in seen.text.links] == wanted, row["file"]
        named += len(wanted)
    assert named > 15
