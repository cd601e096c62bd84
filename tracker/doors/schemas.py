"""The bodies that the API takes, field by field, and how it names what is wrong with one.

The law: what a caller sent is never quoted, not even the name of a field that does not exist (promise 7).
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Final, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator
from pydantic_core import ErrorDetails, PydanticCustomError

from tracker.core.calendar import day_of
from tracker.model import MAIL_PURPOSES, Day, Evidence, Language, Method, Order, Purpose

MOST_PEOPLE: Final = 100
USUAL_PAGE: Final = 50
LARGEST_PAGE: Final = 200
MOST_COPIES: Final = 10_000
"""Recipients of one batch."""
LONGEST_TEXT: Final = 1_000
"""Characters of any value; the flows are stricter where it matters."""
_RFC_3339: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?(?:[Zz]|[+-][0-9]{2}:[0-9]{2})"
)
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_OURS: Final = "tracker"
"""The type of the errors that are raised here, whose texts may be shown."""
_ONE_OR_BOTH: Final = "needs one or both of open, click"


def _instant(value: Any) -> datetime:
    # pydantic also reads "1700000000" and a space for the T; in a proof of consent there is one way to write a time.
    if isinstance(value, str) and _RFC_3339.fullmatch(value):
        try:
            return datetime.fromisoformat(value.upper()).astimezone(UTC)
        except (ValueError, OverflowError):  # no such day, or none that a calendar holds
            pass
    raise PydanticCustomError(_OURS, "needs a date and time with a time zone, such as 2026-11-01T09:00:00Z")


def _about_mail(purposes: frozenset[Purpose]) -> frozenset[Purpose]:
    if not purposes or not purposes <= MAIL_PURPOSES:
        raise PydanticCustomError(_OURS, _ONE_OR_BOTH)
    return purposes


def _some(purposes: frozenset[Purpose]) -> frozenset[Purpose]:
    if not purposes:
        raise PydanticCustomError(_OURS, "needs one or more of open, click, phone")
    return purposes


Instant = Annotated[datetime, BeforeValidator(_instant)]
Purposes = Annotated[frozenset[Purpose], AfterValidator(_about_mail)]
AnyPurposes = Annotated[frozenset[Purpose], AfterValidator(_some)]
Text = Annotated[str, Field(max_length=LONGEST_TEXT)]
Version = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]{1,64}$")]
Reference = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.:-]{1,64}$")]


class Export(StrEnum):
    """In what form a whole list leaves."""

    CSV = "csv"
    JSON = "json"


class Body(BaseModel):
    """A JSON object whose fields are all named here and have the type that is named here."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    whole: ClassVar[str] = "the body"
    part: ClassVar[str] = "field"


class Query(Body):
    """What may stand in the query of a URL, whose values are all text."""

    model_config = ConfigDict(strict=False)
    whole: ClassVar[str] = "the query"
    part: ClassVar[str] = "parameter"


class EvidenceBody(Body):
    """What shows that a person agreed."""

    source: Text | None = None
    confirmed_at: Instant | None = None
    confirmed_by: Text | None = None
    document: Text | None = None
    call_started_at: Instant | None = None
    call_seconds: Annotated[int, Field(ge=0, le=86_400)] | None = None
    call_again: bool | None = None

    def evidence(self) -> Evidence:
        """As the flows know it."""
        return Evidence(**self.model_dump())


class ConsentBody(Body):
    """`POST /v1/consents`; only a call may be about calls, or about nothing but itself."""

    address: Text
    purposes: frozenset[Purpose]
    method: Method
    given_at: Instant
    notice_version: Version
    language: Language
    evidence: EvidenceBody = EvidenceBody()
    reference: Text | None = None
    requested: bool = False

    @model_validator(mode="after")
    def _answered_in_a_call(self) -> Self:
        if self.method is not Method.PHONE and (not self.purposes or not self.purposes <= MAIL_PURPOSES):
            raise PydanticCustomError(_OURS, _ONE_OR_BOTH, {"field": "purposes"})
        return self


class InvitationBody(Body):
    """`POST /v1/consents/invitations`."""

    address: Text
    purposes: Purposes
    language: Language | None = None
    reference: Text | None = None


class LookupBody(Body):
    """`POST /v1/consents/lookup`."""

    address: Text


class WithdrawBody(Body):
    """`POST /v1/consents/withdraw`; without purposes all is withdrawn, calls too where there is a yes to them."""

    address: Text
    purposes: AnyPurposes | None = None


class SubjectBody(Body):
    """`POST /v1/subjects/show`, `/export` and `/erase`."""

    address: Text
    case: Text | None = None


class RecipientsBody(Body):
    """`POST /v1/stats/recipients`: people by address, or by the caller's own references."""

    addresses: Annotated[list[Text], Field(min_length=1, max_length=MOST_PEOPLE)] | None = None
    references: Annotated[list[Reference], Field(min_length=1, max_length=MOST_PEOPLE)] | None = None

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if (self.addresses is None) == (self.references is None):
            raise PydanticCustomError(_OURS, "needs either addresses or references")
        return self


def _day(value: Any) -> Day:
    if isinstance(value, str) and _DATE.fullmatch(value):
        try:
            return day_of(datetime.fromisoformat(value).replace(tzinfo=UTC))
        except ValueError:  # no such day
            pass
    raise PydanticCustomError(_OURS, "needs a date, such as 2026-11-01")


def _limit(value: Any) -> int:
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 4:
        number = int(value)
        if 1 <= number <= LARGEST_PAGE:
            return number
    raise PydanticCustomError(_OURS, f"needs a number from 1 to {LARGEST_PAGE}")


def _flag(value: Any) -> bool:
    if value in ("true", "false"):
        return bool(value == "true")
    raise PydanticCustomError(_OURS, "needs true or false")


Date = Annotated[
    Day, BeforeValidator(_day), WithJsonSchema({"type": "string", "format": "date", "examples": ["2026-11-01"]})
]
Limit = Annotated[
    int, BeforeValidator(_limit), WithJsonSchema({"type": "integer", "minimum": 1, "maximum": LARGEST_PAGE})
]
Cursor = Annotated[str, Field(min_length=1, max_length=100)]
Name = Annotated[str, Field(min_length=1, max_length=200)]


class ChangesQuery(Query):
    """What may stand in the query of `GET /v1/consents/changes`."""

    since: Cursor | None = Field(None, description="What `next` of another page said; none: from the beginning.")


class MessagesQuery(Query):
    """What may stand in the query of `GET /v1/stats/messages`."""

    limit: Limit = Field(USUAL_PAGE, description="Messages of a page.")
    after: Name | None = Field(None, description="What `next` of another page said.")
    order: Order = Field(
        Order.SENT,
        description="`sent`: newest first. `engaged`: what a person touched last, then what nobody touched; of one "
        "rep.",
    )
    label: Name | None = Field(None, description="Messages with exactly this label.")
    campaign: Name | None = Field(None, description="The message of this campaign, by the sender's own id; of one rep.")
    first_day: Date | None = Field(None, alias="from", description="Sent last on this day (UTC) or later.")
    last_day: Date | None = Field(None, alias="to", description="Sent last on this day (UTC) or earlier.")
    engaged: Annotated[bool, BeforeValidator(_flag)] | None = Field(
        None, description="Only what a person touched, or what nobody touched."
    )
    format: Export | None = Field(
        None, description="All that fits, streamed, as a table or as one JSON document, instead of a page."
    )


class AddresseeBody(Body):
    """One of the recipients of a batch."""

    address: Text
    reference: Text | None = None


class BatchBody(Body):
    """`POST /v1/rewrite/batch`; the message in base64."""

    message: str
    recipients: Annotated[list[AddresseeBody], Field(min_length=1, max_length=MOST_COPIES)]
    label: Text | None = None
    campaign: Text | None = None
    owner: Text | None = None
    language: Language | None = None


def names_of(body: type[Body]) -> list[str]:
    """The fields of BODY as callers write them."""
    return [field.alias or name for name, field in body.model_fields.items()]


_WORDS: Final = {
    "missing": "is missing",
    "string_type": "needs a text",
    "string_too_long": "is too long",
    "int_type": "needs a whole number",
    "bool_type": "needs true or false",
    "frozen_set_type": "needs a list",
    "list_type": "needs a list",
    "string_too_short": "is empty",
    "too_short": "is empty",
    "model_type": "needs a JSON object",
}
_NAMES: Final = frozenset(
    name
    for body in (
        EvidenceBody,
        ConsentBody,
        InvitationBody,
        LookupBody,
        WithdrawBody,
        SubjectBody,
        RecipientsBody,
        MessagesQuery,
        ChangesQuery,
        AddresseeBody,
        BatchBody,
    )
    for name in names_of(body)
)

_INNER: Final[dict[str, type[Body]]] = {"evidence": EvidenceBody, "recipients": AddresseeBody}
"""Fields that hold objects of their own."""


def explain(body: type[Body], error: ErrorDetails) -> str:
    """Where in a BODY the ERROR is, and what it is, without a word of what the caller sent."""
    path = ".".join(str(part) for part in error["loc"] if isinstance(part, int) or part in _NAMES)
    kind = error["type"]
    if kind == "extra_forbidden":
        # The last step of the path is the caller's own word, so it is left out, and what there is is named instead.
        inner = _INNER.get(str(error["loc"][0]), body) if len(error["loc"]) > 1 else body
        parent = ".".join(str(part) for part in error["loc"][:-1] if isinstance(part, int) or part in _NAMES)
        return f"{parent or body.whole} has an unknown {body.part}; known are {', '.join(names_of(inner))}"
    if kind == "enum":
        reason = f"needs {error['ctx']['expected']}"  # the values that we know, not the one that came
    elif kind == "too_long":
        reason = f"holds more than {error['ctx']['max_length']}"
    elif kind == _OURS:
        reason = error["msg"]
    else:
        reason = _WORDS.get(kind, "has an impossible value")
    return f"{path or error.get('ctx', {}).get('field', body.whole)} {reason}"
