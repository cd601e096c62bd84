"""The description of the API is true: it names every route and scope, and the real answers fit it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.doors.api_fakes import KEYS, Api
from tests.doors.test_api_stats import ID, MESSAGE, PERSON
from tracker.doors.answers import MessagesAnswer, OneMessageAnswer, RecipientsAnswer
from tracker.doors.openapi import OPERATIONS
from tracker.flows.report import MessagePage
from tracker.model import Hour, Moment


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with Api() as api:
        yield api


async def test_every_route_is_described_and_nothing_else(api: Api) -> None:
    served = {
        (route.resource.canonical, route.method.lower())
        for route in api.app.router.routes()
        if route.resource is not None and route.method not in ("*", "HEAD")
    }
    assert served == set(OPERATIONS)


async def test_the_description_is_served(api: Api) -> None:
    told = (await api.ask("GET", "/openapi.json", key=None)).json
    assert told["openapi"] == "3.1.0"
    assert {(path, method) for path, methods in told["paths"].items() for method in methods} == set(OPERATIONS)


@pytest.mark.parametrize("operation", [key for key, one in OPERATIONS.items() if one.scope], ids=" ".join)
async def test_an_operation_asks_for_the_scope_that_it_names_and_no_other(api: Api, operation: tuple[str, str]) -> None:
    path, method = operation
    wanted = OPERATIONS[operation].scope
    for scope in KEYS["all"].scopes:
        reply = await api.ask(method.upper(), path.replace("{id}", ID), key=scope.value)
        assert (reply.status == 403) == (scope != wanted), scope
        if reply.status == 403:
            assert reply.json["detail"] == f"scope {wanted}"


@pytest.mark.parametrize("operation", [key for key, one in OPERATIONS.items() if not one.scope], ids=" ".join)
async def test_what_names_no_scope_needs_no_key(api: Api, operation: tuple[str, str]) -> None:
    path, method = operation
    assert (await api.ask(method.upper(), path, key=None)).status == 200


async def test_answers_fit_what_is_said_of_them(api: Api) -> None:
    api.figures.page = MessagePage((MESSAGE, MESSAGE), "cursor")
    api.figures.one, api.figures.moments = MESSAGE, (Moment(Hour(498_564), 1, 0, 2),)
    api.figures.people = (PERSON,)
    MessagesAnswer.model_validate((await api.ask("GET", "/v1/stats/messages")).json)
    api.figures.page = MessagePage((MESSAGE, MESSAGE), None)
    MessagesAnswer.model_validate((await api.ask("GET", "/v1/stats/messages?format=json")).json)
    OneMessageAnswer.model_validate((await api.ask("GET", f"/v1/stats/messages/{ID}")).json)
    people = await api.ask("POST", "/v1/stats/recipients", json={"references": ["1"]})
    RecipientsAnswer.model_validate(people.json)
