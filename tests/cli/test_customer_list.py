"""A customer list as Excel, a CRM or a person writes it; what is wrong is named by line and column, never quoted."""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.cli.customer_list import CustomerList, Row
from tracker.doors import api_consents_batch
from tracker.flows.consent import ReportedConsent
from tracker.model import BadList, ExistingCustomer, Language, Method, Purpose, TrackerError

HEAD = "address,purposes,method,given_at,notice_version,language"
ROW = "anna@example.org,open click,web-form,2026-11-01T09:00:00Z,2026-1,de"


def listed(folder: Path, text: str | bytes, **more: str) -> list[Row]:
    path = folder / "list.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return list(CustomerList(path, **more).rows())


def report(row: Row) -> ReportedConsent:
    assert isinstance(row.line, ReportedConsent), row
    return row.line


def refusal(row: Row) -> TrackerError:
    assert isinstance(row.line, TrackerError), row
    return row.line


def test_a_line_is_a_report_of_the_command_line(tmp_path: Path) -> None:
    head = f"{HEAD},source,confirmed_at,confirmed_by,document,reference,call_started_at,call_seconds,call_again"
    row = f"{ROW},https://example.org,2026-11-02,link,file 7,C-1,2026-11-01T08:00:00+01:00,61,yes"
    (only,) = listed(tmp_path, f"{head}\n{row}\n")
    said = report(only)
    assert only.number == 2
    assert said.address == "anna@example.org"
    assert said.purposes == {Purpose.OPEN, Purpose.CLICK}
    assert (said.method, said.language, said.actor) == (Method.WEB_FORM, Language.DE, "cli")
    assert said.given_at == datetime(2026, 11, 1, 9, tzinfo=UTC)
    assert (said.reference, said.source, said.requested) == ("C-1", None, False)
    evidence = said.evidence
    assert (evidence.source, evidence.confirmed_by, evidence.document) == ("https://example.org", "link", "file 7")
    assert evidence.confirmed_at == datetime(2026, 11, 2, tzinfo=UTC)
    assert evidence.call_started_at == datetime(2026, 11, 1, 7, tzinfo=UTC)
    assert (evidence.call_seconds, evidence.call_again) == (61, True)


def test_the_references_may_be_those_of_a_key(tmp_path: Path) -> None:
    (only,) = listed(tmp_path, f"{HEAD},reference\n{ROW},C-1\n", references_of="crm")
    assert (report(only).actor, report(only).source) == ("cli", "crm")


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_what_excel_and_others_write_is_read(tmp_path: Path, delimiter: str, mark: bytes, end: str) -> None:
    text = end.join((HEAD, ROW, "", ROW)).replace(",", delimiter)
    rows = listed(tmp_path, mark + text.encode())
    assert [row.number for row in rows] == [2, 4]
    assert {report(row).address for row in rows} == {"anna@example.org"}


def test_purposes_may_stand_together_in_many_ways(tmp_path: Path) -> None:
    for cell in ("open click", '"open,click"', "open;click", "Open|Click", "open+click", " open  click "):
        (only,) = listed(tmp_path, f"{HEAD}\n{ROW.replace('open click', cell)}\n")
        assert report(only).purposes == {Purpose.OPEN, Purpose.CLICK}


def test_a_row_over_several_lines_is_known_by_its_first(tmp_path: Path) -> None:
    rows = listed(tmp_path, f'{HEAD},document\n{ROW},"file\n7"\n{ROW},x\n')
    assert [row.number for row in rows] == [2, 4]


@pytest.mark.parametrize(
    ("row", "detail"),
    [
        (ROW.replace("web-form", "carrier-pigeon"), "method needs 'web-form'"),
        (ROW.replace("open click", ""), "purposes needs one or both of open, click"),
        (ROW.replace("open click", "phone"), "purposes needs one or both of open, click"),
        (ROW.replace("2026-11-01T09:00:00Z", "01.11.2026"), "given_at needs a date and time"),
        (ROW.replace("2026-11-01T09:00:00Z", "2026-13-01"), "given_at needs a date and time"),
        (ROW.replace(",de", ""), "language is missing"),
        (ROW.replace("de", "es"), "language needs 'de', 'en', 'fr' or 'it'"),
        (f"{ROW},maybe", "call_again needs true or false"),
        (f"{ROW},yes,surplus", "the line has more cells than the first line has columns"),
    ],
)
def test_a_line_that_is_wrong_says_where(tmp_path: Path, row: str, detail: str) -> None:
    bad, good = listed(tmp_path, f"{HEAD},call_again\n{row}\n{ROW},\n")
    assert refusal(bad).detail.startswith(detail)
    assert "anna" not in str(refusal(bad))
    assert report(good).evidence.call_again is None


def test_a_line_in_another_charset_is_refused_alone(tmp_path: Path) -> None:
    umlaut = ROW.replace("anna", "jörg").encode("latin-1")
    bad, good = listed(tmp_path, b"\n".join((HEAD.encode(), umlaut, ROW.encode())))
    assert refusal(bad).detail == "the line is not in UTF-8"
    assert report(good).address == "anna@example.org"


def test_a_cell_of_absurd_length_is_refused_alone(tmp_path: Path) -> None:
    bad, good = listed(tmp_path, f"{HEAD}\n{'x' * 200_000},open\n{ROW}\n")
    assert refusal(bad).status == 422
    assert report(good).address == "anna@example.org"


@pytest.mark.parametrize(
    ("head", "detail"),
    [
        ("", "the first line must name the columns"),
        (ROW, "the first line must name the columns"),
        (HEAD.encode("utf-16").decode("latin-1"), "the first line must name the columns"),
        (f"{HEAD},shoe size", "column 'shoe size' is not known; known are address,"),
        (f"{HEAD},requested", "column 'requested' is not known"),
        (f"{HEAD},bert@example.org", "column 7 is not known"),
        (f"{HEAD},{'x' * 99}", "column 7 is not known"),
        (f"{HEAD},", "column 7 is not known"),
        (f"{HEAD},method", "column method stands there twice"),
        ("address,purposes,given_at", "column method, notice_version, language is missing"),
    ],
)
def test_a_first_line_that_is_wrong_refuses_the_list(tmp_path: Path, head: str, detail: str) -> None:
    with pytest.raises(BadList) as refused:
        listed(tmp_path, f"{head}\n{ROW}\n")
    assert refused.value.detail.startswith(detail)
    assert "example.org" not in refused.value.detail


@pytest.mark.parametrize("column", ["existing-customer", "existing_customer", "Existing Customer", "Bestandskunde"])
def test_r16_that_somebody_is_a_customer_is_no_column_of_evidence(tmp_path: Path, column: str) -> None:
    with pytest.raises(ExistingCustomer):
        listed(tmp_path, f"{HEAD},{column}\n{ROW},yes\n")


def test_r16_the_status_alone_is_a_method_that_is_read_and_refused_by_the_rules(tmp_path: Path) -> None:
    rows = listed(
        tmp_path, "\n".join((HEAD, *(ROW.replace("web-form", it) for it in ("existing-customer", "purchased"))))
    )
    assert [report(row).method for row in rows] == [Method.EXISTING_CUSTOMER, Method.PURCHASED]


def test_the_list_is_read_in_chunks_and_says_how_far_it_got(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text("\n".join((HEAD, *[ROW] * 1_000)))
    customers = CustomerList(path)
    sizes, positions = [], []
    for chunk in customers.chunks(300):
        sizes.append(len(chunk))
        positions.append(customers.read)
    assert sizes == [300, 300, 300, 100]
    assert positions == sorted(positions)
    assert positions[-1] == customers.size


WORDS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=12)
FIELDS = st.fixed_dictionaries(
    {
        "address": st.sampled_from(["anna@example.org", "jörg@example.org", '"a;b"@example.org']),
        "purposes": st.lists(st.sampled_from(["open", "click", "phone"]), unique=True, max_size=3),
        "method": st.sampled_from([method.value for method in Method]),
        "given_at": st.just("2026-11-01T09:00:00Z"),
        "notice_version": st.just("2026-1"),
        "language": st.sampled_from(["de", "en"]),
    },
    optional={"reference": WORDS},
)
EVIDENCE = st.fixed_dictionaries(
    {},
    optional={
        "source": WORDS,
        "document": WORDS,
        "confirmed_by": WORDS,
        "confirmed_at": st.just("2026-11-01T10:00:00+01:00"),
        "call_started_at": st.just("2026-11-01T10:00:00Z"),
        "call_seconds": st.integers(0, 86_400),
        "call_again": st.booleans(),
    },
)


@given(FIELDS, EVIDENCE, st.sampled_from([",", ";", "\t"]))
def test_a_line_of_a_list_is_the_same_report_as_a_line_of_a_sync(
    fields: dict[str, Any], evidence: dict[str, Any], delimiter: str
) -> None:
    """Whichever way a report comes, it is one: what it comes to is then the same (tests/flows/test_bulk.py)."""
    said = {
        **fields,
        "evidence": {name: _stripped(value) for name, value in evidence.items() if _stripped(value) != ""},
    }
    if "reference" in said:
        said["reference"] = said["reference"].strip() or None
    cells = {**fields, **evidence, "purposes": " ".join(fields["purposes"])}
    with TemporaryDirectory() as folder:
        path = Path(folder) / "list.csv"
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, [*cells], delimiter=delimiter)
            writer.writeheader()
            writer.writerow(cells)
        (row,) = CustomerList(path).rows()
    line = api_consents_batch._line(json.dumps(said).encode(), "cli", 1)
    if isinstance(line, TrackerError):
        assert type(row.line) is type(line)
    else:
        assert row.line == line


def _stripped(value: object) -> object:
    return value.strip() if isinstance(value, str) else value
