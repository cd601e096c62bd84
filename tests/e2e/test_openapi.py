"""Whatever fits the API's own description is answered as described, and never with an error of the server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import SerializationContext
from schemathesis.core.result import Ok
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import response_schema_conformance

from tests.e2e.mail import OFFER
from tests.harness import Installation

AnyOperation = APIOperation[Any, Any, Any, Any]
EXAMPLES = 25
"""Requests for each operation."""


@schemathesis.serializer("message/rfc822", "application/x-ndjson")
def as_it_is(_: SerializationContext, value: Any) -> bytes | None:
    return value if isinstance(value, bytes | None) else str(value).encode()


@pytest.fixture(scope="module")
def tracker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with Installation.copied(tmp_path_factory.mktemp("api") / "tracker") as tracker:
        scopes = ("rewrite", "consent", "stats", "invite", "privacy")
        tracker.key = tracker.run("key", "create", "everything", *(f"--scope={scope}" for scope in scopes)).strip()
        assert tracker.grant("anna@example.org").status == 201
        tracker.rewrite(OFFER, "anna@example.org", Tracker_Label="Offer", Tracker_Reference="4711")
        yield tracker


def operations(tracker: Installation) -> Iterator[AnyOperation]:
    schema = schemathesis.openapi.from_url(f"{tracker.private_url}/openapi.json")
    for found in schema.get_all_operations():
        assert isinstance(found, Ok)
        yield found.ok()


def test_no_request_that_fits_breaks_the_server(tracker: Installation) -> None:
    for operation in operations(tracker):
        hammer(operation, tracker)
    log = tracker.log_file.read_text()
    assert "request failed" not in log
    assert "Traceback" not in log


def hammer(operation: AnyOperation, tracker: Installation) -> None:
    @given(case=operation.as_strategy())
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def run(case: schemathesis.Case[Any]) -> None:
        response = case.call(headers={"Authorization": f"Bearer {tracker.key}"})
        assert response.status_code < 500, (operation.label, response.status_code, response.text)
        case.validate_response(response, checks=[response_schema_conformance])

    run()
