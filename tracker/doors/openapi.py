"""Describes the private listener (OpenAPI 3.1): one row for each route, bodies as the code that reads them has them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from tracker.doors import answers, api_headers, schemas
from tracker.model import Language, Scope

JSON: Final = "application/json"
NDJSON: Final = "application/x-ndjson"
MESSAGE: Final = "message/rfc822"
PROBLEM: Final = "application/problem+json"
_REF: Final = "#/components/schemas/{model}"

Schema = dict[str, Any]
Shape = type[BaseModel] | Schema


@dataclass(frozen=True, slots=True)
class Operation:
    """What one method of one path takes and answers."""

    summary: str
    scope: Scope | None = None
    """That a key needs; None: no key."""
    body: tuple[str, Shape] | None = None
    """Media type and what it holds."""
    query: type[schemas.Body] | None = None
    headers: tuple[Schema, ...] = ()
    answers: Mapping[int, tuple[str, Mapping[str, Shape]]] | None = None
    """Status → what it says, and what it holds by media type."""
    said: Mapping[str, str] | None = None
    """Headers of the answer 200."""
    problems: tuple[int, ...] = ()
    """Statuses of problems, beside those that every operation with a key has."""


def _header(name: str, text: str, schema: Schema | None = None, *, required: bool = False) -> Schema:
    return {
        "name": name,
        "in": "header",
        "required": required,
        "description": text,
        "schema": schema or {"type": "string", "maxLength": api_headers.LONGEST_TEXT},
    }


_BINARY: Final[Schema] = {"type": "string", "format": "binary"}
_TEXT: Final[Schema] = {"type": "string"}
_OWNER: Final = _header(api_headers.OWNER, "The rep; a key made for one rep allows no other.")
_OF_A_COPY: Final = (
    _header(api_headers.RECIPIENT, "The envelope recipient of this copy.", required=True),
    _header(
        api_headers.COPY,
        "`single`: this copy goes to that recipient alone. Needed where To and Cc name more than one.",
        {"enum": ["single"]},
    ),
    _header(api_headers.LABEL, "What reps see: a campaign's name, a subject line."),
    _header(api_headers.CAMPAIGN, "The sender's own id: copies of one rep with the same id are one message."),
    _header(
        api_headers.REFERENCE,
        "The sender's own id for the person.",
        {"type": "string", "pattern": "^[A-Za-z0-9_.:-]{1,64}$"},
    ),
    _OWNER,
    _header(api_headers.LANGUAGE, "Of the notice.", {"enum": [language.value for language in Language]}),
)
_SAID_OF_A_COPY: Final = {
    "Tracker-Outcome": "`tracked` or `untouched`.",
    "Tracker-Reason": "Why it left untouched.",
    "Tracker-Purposes": "What is tracked.",
    "Tracker-Links": "How many of its http links, such as `3/5`.",
    "Tracker-Left": "Why the others were left, such as `visible-url=2`.",
    "Tracker-Message": "Its id in the figures.",
    "Tracker-Foreign": "Other people's trackers in it, by kind.",
}

_POST: Final = "post"
_GET: Final = "get"

OPERATIONS: Final[Mapping[tuple[str, str], Operation]] = {
    ("/v1/rewrite", _POST): Operation(
        "One copy of a message in, the same copy out: tracked for who agreed, byte for byte as it came for others.",
        Scope.REWRITE,
        body=(MESSAGE, _BINARY),
        headers=_OF_A_COPY,
        answers={200: ("The copy to send.", {MESSAGE: _BINARY})},
        said=_SAID_OF_A_COPY,
    ),
    ("/v1/rewrite/batch", _POST): Operation(
        "One message to many recipients; a line for each, in order, streamed.",
        Scope.REWRITE,
        body=(JSON, schemas.BatchBody),
        answers={200: ("Copies.", {NDJSON: answers.CopyAnswer})},
    ),
    ("/v1/consents", _POST): Operation(
        "Report a consent, or a no given in a call.",
        Scope.CONSENT,
        body=(JSON, schemas.ConsentBody),
        answers={
            200: ("Nothing new, or a no was recorded.", {JSON: answers.ConsentAnswer}),
            201: ("In force.", {JSON: answers.ConsentAnswer}),
            202: ("Waits for the person to confirm it.", {JSON: answers.ConsentAnswer}),
        },
        problems=(409,),
    ),
    ("/v1/consents/batch", _POST): Operation(
        "Report many, one in a line; an answer in a line for each, streamed.",
        Scope.CONSENT,
        body=(NDJSON, _BINARY),
        answers={200: ("What became of each.", {NDJSON: answers.LineAnswer})},
    ),
    ("/v1/consents/changes", _GET): Operation(
        "What became of consents, in the references that this key's system gave.",
        Scope.CONSENT,
        query=schemas.ChangesQuery,
        answers={200: ("Oldest first.", {JSON: answers.ChangesAnswer})},
    ),
    ("/v1/consents/lookup", _POST): Operation(
        "Where a person stands, and how it came about.",
        Scope.CONSENT,
        body=(JSON, schemas.LookupBody),
        answers={200: ("Where they stand.", {JSON: answers.LookupAnswer})},
    ),
    ("/v1/consents/withdraw", _POST): Operation(
        "Record a no.",
        Scope.CONSENT,
        body=(JSON, schemas.WithdrawBody),
        answers={200: ("Recorded.", {JSON: answers.WithdrawnAnswer})},
    ),
    ("/v1/consents/invitations", _POST): Operation(
        "A link for the sender to put into its own mail, with which the person can agree.",
        Scope.INVITE,
        body=(JSON, schemas.InvitationBody),
        answers={201: ("The link.", {JSON: answers.InvitationAnswer})},
        problems=(409,),
    ),
    ("/v1/subjects/show", _POST): Operation(
        "Everything that is held about a person.",
        Scope.PRIVACY,
        body=(JSON, schemas.SubjectBody),
        answers={200: ("All of it.", {JSON: answers.SubjectAnswer})},
    ),
    ("/v1/subjects/export", _POST): Operation(
        "The same as it may go to the person.",
        Scope.PRIVACY,
        body=(JSON, schemas.SubjectBody),
        answers={200: ("All of it.", {JSON: answers.SubjectAnswer})},
    ),
    ("/v1/subjects/erase", _POST): Operation(
        "Erase a person.",
        Scope.PRIVACY,
        body=(JSON, schemas.SubjectBody),
        answers={200: ("Erased.", {JSON: answers.ErasedAnswer})},
    ),
    ("/v1/stats/messages", _GET): Operation(
        "What became of messages: a page of them, or all as a table (`format=csv`, or `Accept: text/csv`) or as JSON. "
        "Of a rep (a key of theirs, or Tracker-Owner) what people do shows when its hour has turned; at once only "
        "under a notice with the feature `live`.",
        Scope.STATS,
        query=schemas.MessagesQuery,
        headers=(_OWNER,),
        answers={200: ("Messages.", {JSON: answers.MessagesAnswer, "text/csv": _TEXT})},
    ),
    ("/v1/stats/messages/{id}", _GET): Operation(
        "What became of one message, and when.",
        Scope.STATS,
        headers=(_OWNER,),
        answers={200: ("The message.", {JSON: answers.OneMessageAnswer})},
        problems=(404,),
    ),
    ("/v1/stats/recipients", _POST): Operation(
        "What people did, by address or by the caller's own references.",
        Scope.STATS,
        body=(JSON, schemas.RecipientsBody),
        headers=(_OWNER,),
        answers={200: ("In the order of the question.", {JSON: answers.RecipientsAnswer})},
    ),
    ("/health/live", _GET): Operation(
        "Whether the process answers.", answers={200: ("It does.", {JSON: answers.HealthAnswer})}
    ),
    ("/health/ready", _GET): Operation(
        "Whether mail would be tracked.",
        answers={
            200: ("It would.", {JSON: answers.HealthAnswer}),
            503: ("It would not.", {JSON: answers.HealthAnswer}),
        },
    ),
    ("/metrics", _GET): Operation("Counts for Prometheus.", answers={200: ("Counts.", {"text/plain": _TEXT})}),
    ("/openapi.json", _GET): Operation("This description.", answers={200: ("It.", {JSON: {"type": "object"}})}),
}


def document() -> Schema:
    """The description, as JSON has it."""
    shapes = [shape for operation in OPERATIONS.values() for shape in _shapes(operation)]
    requests = {shape for shape in shapes if issubclass(shape, schemas.Body)}
    modes = [(shape, "validation" if shape in requests else "serialization") for shape in [*shapes, answers.Problem]]
    _, definitions = models_json_schema(dict.fromkeys(modes), ref_template=_REF)  # type: ignore[arg-type]
    paths: dict[str, dict[str, Schema]] = {}
    for (path, method), operation in OPERATIONS.items():
        paths.setdefault(path, {})[method] = _operation(path, operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Consent tracker",
            "version": version("consent-tracker"),
            "description": "For mail systems and operators; no address ever stands in a URL.",
        },
        "paths": paths,
        "components": {
            "schemas": definitions["$defs"],
            "securitySchemes": {
                "key": {"type": "http", "scheme": "bearer", "description": "A key made by `tracker key create`."}
            },
        },
    }


def _shapes(operation: Operation) -> Iterable[type[BaseModel]]:
    held = [] if operation.body is None else [operation.body[1]]
    for _, by_type in (operation.answers or {}).values():
        held += by_type.values()
    return [shape for shape in held if isinstance(shape, type)]


def _operation(path: str, operation: Operation) -> Schema:
    said: Schema = {"summary": operation.summary, "parameters": [*operation.headers, *_query(operation.query)]}
    if "{id}" in path:
        pattern = {"type": "string", "pattern": "^[0-9a-f]{32}$"}
        said["parameters"].append({"name": "id", "in": "path", "required": True, "schema": pattern})
    if operation.body is not None:
        media_type, shape = operation.body
        said["requestBody"] = {"required": True, "content": {media_type: {"schema": _schema(shape)}}}
    said["responses"] = {
        str(status): _answer(text, by_type) for status, (text, by_type) in (operation.answers or {}).items()
    }
    if operation.said is not None:
        said["responses"]["200"]["headers"] = {
            name: {"description": text, "schema": _TEXT} for name, text in operation.said.items()
        }
    problems = set(operation.problems)
    if operation.scope is not None:
        said["security"] = [{"key": []}]
        said["description"] = f"Needs a key with the scope `{operation.scope}`."
        problems |= {400, 401, 403, 422, 503}
    if operation.body is not None:
        problems |= {413, 415}
    for status in sorted(problems):
        said["responses"][str(status)] = _answer("A problem.", {PROBLEM: answers.Problem})
    return said


def _query(model: type[schemas.Body] | None) -> list[Schema]:
    if model is None:
        return []
    schema = model.model_json_schema(ref_template=_REF)
    definitions = schema.get("$defs", {})
    required = schema.get("required", [])
    return [
        {
            "name": name,
            "in": "query",
            "required": name in required,
            "description": one.get("description", ""),
            "schema": _plain(one, definitions),
        }
        for name, one in schema["properties"].items()
    ]


def _plain(one: Schema, definitions: Schema) -> Schema:
    """The schema ONE of a parameter without `null`, which no query can say, and without references."""
    (found,) = [each for each in one.get("anyOf", [one]) if each.get("type") != "null"]
    if "$ref" in found:
        found = definitions[found["$ref"].rpartition("/")[2]]
    left_out = ("title", "default", "description")
    return {name: value for name, value in found.items() if name not in left_out}


def _answer(text: str, by_type: Mapping[str, Shape]) -> Schema:
    return {"description": text, "content": {kind: {"schema": _schema(shape)} for kind, shape in by_type.items()}}


def _schema(shape: Shape) -> Schema:
    return {"$ref": _REF.format(model=shape.__name__)} if isinstance(shape, type) else shape
