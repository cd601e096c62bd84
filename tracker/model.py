"""The vocabulary: frozen values, enums, and one tree of errors in which each error carries its answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import IntEnum, StrEnum
from typing import ClassVar, NamedTuple, NewType

Day = NewType("Day", int)
"""Days since 1970-01-01, UTC."""
Hour = NewType("Hour", int)
"""Hours since 1970-01-01T00:00Z."""
Pseudonym = NewType("Pseudonym", bytes)
"""32 bytes: keyed digest of a normalised address. The only name of a recipient below the flows' edge."""
DeliveryId = NewType("DeliveryId", bytes)
"""16 bytes: keyed digest of a message as it came, its recipient and the day."""
MessageKey = NewType("MessageKey", bytes)
"""16 bytes: keyed digest of an owner and a campaign id or Message-ID. Shown to callers in hex."""
Owner = NewType("Owner", bytes)
"""16 bytes: keyed digest of a rep's login, so that the database lists no rep."""
LinkNumber = NewType("LinkNumber", int)
"""A link's number within its message, from a digest of the reported target; 0 stands for 'no link'."""

NO_LINK = LinkNumber(0)


class Purpose(StrEnum):
    """What a person may agree to; never bundled."""

    OPEN = "open"
    CLICK = "click"
    PHONE = "phone"


MAIL_PURPOSES = frozenset({Purpose.OPEN, Purpose.CLICK})


class Language(StrEnum):
    """Languages a recipient can be spoken to in."""

    DE = "de"
    EN = "en"
    FR = "fr"
    IT = "it"


class Method(StrEnum):
    """How a consent was obtained."""

    WEB_FORM = "web-form"
    WRITTEN = "written"
    IMPORTED = "imported"
    PHONE = "phone"
    REP = "rep"
    PAGE = "page"
    PURCHASED = "purchased"
    """Known only to be refused, like the next one."""
    EXISTING_CUSTOMER = "existing-customer"


class ConsentState(StrEnum):
    """What became of a reported consent."""

    LIVE = "live"
    UNCHANGED = "unchanged"
    PENDING = "pending"
    SUPPRESSED = "suppressed"
    WITHDRAWN = "withdrawn"
    """The report held a no, which was recorded."""


class LedgerEvent(StrEnum):
    """What an entry of the ledger says."""

    REQUESTED = "requested"
    GIVEN = "given"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"
    ERASED = "erased"
    """A no to everything, and all that the law does not keep is gone."""


class NoKind(StrEnum):
    """How a person said no; the journal keeps them all."""

    WITHDRAWAL = "withdrawal"
    REFUSAL = "refusal"
    ERASURE = "erasure"


class Agent(IntEnum):
    """Who made a hit, as far as it can be told; the order is that of certainty that it was a person."""

    MACHINE = 1
    PROXY = 2
    HUMAN = 3


class OwnActor(StrEnum):
    """Actors that the ledger names and that are no API key; no key may pass itself off as one."""

    RECIPIENT = "recipient"
    """The person, through a link of ours."""
    CLI = "cli"
    TRACKER = "tracker"
    """What happens by itself, such as the end of a grant."""


class MailKind(StrEnum):
    """Mails that the tracker sends itself."""

    CONFIRMATION = "confirmation"
    """A sender reported a consent and says that the person asked to confirm it by mail."""
    ASK = "ask"
    """The person typed the address at `/ask`."""
    MAILBOX = "mailbox"
    """The person typed the address at `/privacy`."""


class Scope(StrEnum):
    """What an API key may be used for."""

    REWRITE = "rewrite"
    CONSENT = "consent"
    STATS = "stats"
    INVITE = "invite"
    PRIVACY = "privacy"


class Feature(StrEnum):
    """What a notice may cover beyond measuring; only grants under such a version feed it."""

    LIVE = "live"
    """Somebody may watch as it happens."""
    WEBHOOK = "webhook"
    """It is passed on to another system."""


class Reason(StrEnum):
    """Why a copy left untouched."""

    NO_GRANT = "no-grant"
    SEVERAL_RECIPIENTS = "several-recipients"
    FOREIGN_SENDER = "foreign-sender"
    SIGNED = "signed"
    ENCRYPTED = "encrypted"
    DKIM_SIGNED = "dkim-signed"
    ALREADY_TRACKED = "already-tracked"
    AUTO_SUBMITTED = "auto-submitted"
    REPORT = "report"
    MALFORMED = "malformed"
    UNSUPPORTED = "unsupported"
    NOTHING_TO_TRACK = "nothing-to-track"
    OBSERVED = "observed"
    """It would have been tracked; nothing is, since the tracker only observes."""
    TOO_LARGE = "too-large"
    STORE_UNAVAILABLE = "store-unavailable"
    ERROR = "error"


class Left(StrEnum):
    """Why an http link was left as it stood (the answer counts them)."""

    VISIBLE_URL = "visible-url"
    ADDRESS_IN_TARGET = "address-in-target"
    NO_TRACK_MARK = "no-track-mark"
    UNSUBSCRIBE = "unsubscribe"
    PLACEHOLDER = "placeholder"
    TRACKER_LINK = "tracker-link"
    TOO_LONG = "too-long"
    EXCLUDED = "excluded"
    UNREADABLE = "unreadable"
    NO_GRANT = "no-grant"


# --- consent -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Evidence:
    """What shows that a person agreed; every value is free of e-mail addresses."""

    source: str | None = None
    confirmed_at: datetime | None = None
    confirmed_by: str | None = None
    document: str | None = None
    call_started_at: datetime | None = None
    call_seconds: int | None = None
    call_again: bool | None = None


@dataclass(frozen=True, slots=True)
class ConsentReport:
    """A consent as a caller reports it, with the address already turned into a pseudonym."""

    pseudonym: Pseudonym
    purposes: frozenset[Purpose]
    method: Method
    given_at: datetime
    notice_version: str
    language: Language
    evidence: Evidence
    actor: str
    """Who reported it: the API key's name, or 'cli'."""
    reference: str | None = None
    """The actor's own id for the person."""
    requested: bool = False
    source: str | None = None
    """Whose id `reference` is, where it is not the actor's: that of an API key, for a list that comes as a file."""


@dataclass(frozen=True, slots=True)
class Call:
    """What is kept of a telephone call, beside the answer about further calls, which is a grant or a no."""

    rep: str
    """Who reported it: the API key's name, or 'cli'."""
    started_at: datetime
    seconds: int | None
    call_again: bool | None
    tracking_agreed: bool
    last_day: Day


@dataclass(frozen=True, slots=True)
class Change:
    """What became of somebody's consent, told in the words of one mail system."""

    entry: int
    """Of the ledger."""
    reference: str
    event: LedgerEvent
    purposes: frozenset[Purpose] = frozenset()
    at: datetime | None = None
    until: Day | None = None
    """Of a grant that is live, its last day."""


@dataclass(frozen=True, slots=True)
class Grant:
    """A live permission for one purpose."""

    purpose: Purpose
    last_day: Day
    given_at: datetime
    notice_version: str
    entry: int
    """Sequence number of the ledger entry it rests on."""


@dataclass(frozen=True, slots=True)
class PendingGrant:
    """A reported permission that the recipient has not confirmed."""

    purpose: Purpose
    last_day: Day
    method: Method
    entry: int


@dataclass(frozen=True, slots=True)
class LedgerContent:
    """What one entry of the ledger says, as far as it has not passed its last day."""

    entry: int
    event: LedgerEvent
    purposes: frozenset[Purpose]
    recorded_at: datetime
    actor: str
    last_day: Day
    method: Method | None = None
    given_at: datetime | None = None
    notice_version: str | None = None
    notice_hash: str | None = None
    language: Language | None = None
    evidence: Evidence = Evidence()


@dataclass(frozen=True, slots=True)
class Standing:
    """Where one person stands: all that a decision about consent needs to know."""

    grants: Mapping[Purpose, Grant] = field(default_factory=dict)
    pending: Mapping[Purpose, PendingGrant] = field(default_factory=dict)
    suppressed: Mapping[Purpose, Day] = field(default_factory=dict)
    """Purpose → last day of the suppression."""


@dataclass(frozen=True, slots=True)
class No:
    """A person's no as the journal keeps it, so that no restored database may lack it."""

    kind: NoKind
    pseudonym: Pseudonym
    """As of the newest generation of pseudonym keys."""
    purposes: frozenset[Purpose]
    """Empty: everything, whatever there is to end."""
    at: datetime
    """When it came: the ledger's entry about it was recorded at the same instant."""
    actor: str
    language: Language | None = None


@dataclass(frozen=True, slots=True)
class Notice:
    """A version of the text people agree to, in one language."""

    version: str
    language: Language
    text: str
    features: frozenset[str] = frozenset()
    superseded_day: Day | None = None


@dataclass(frozen=True, slots=True)
class Seal:
    """Where an entry of the ledger stands in the chain; the digests are keyed and say nothing by themselves."""

    previous: bytes
    digest: bytes


@dataclass(frozen=True, slots=True)
class Proof:
    """All that is on record of one person's consent."""

    standing: Standing = Standing()
    history: tuple[LedgerContent, ...] = ()
    seals: Mapping[int, Seal] = field(default_factory=dict)
    """By entry."""
    notices: tuple[Notice, ...] = ()
    """The texts that entries of the history name."""


# --- mails of our own ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Letter:
    """A mail of our own on its way: held in memory until it is sent, written nowhere, shown in no text about it."""

    kind: MailKind
    address: str = field(repr=False)
    """Normalised: what is proved by reading the mail is proved of the address whose pseudonym was taken."""
    language: Language
    url: str = field(repr=False)
    """The link that the mail is about; it holds a token."""
    valid_for: timedelta
    """How long the link is good for."""


# --- messages ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Envelope:
    """What the caller says about one copy of a message; `recipient` never goes below the flows."""

    recipient: str
    source: str
    """The API key's name: whose references these are."""
    single: bool = False
    label: str | None = None
    campaign: str | None = None
    reference: str | None = None
    owner: str | None = None
    language: Language | None = None


class Reply(NamedTuple):
    """What a mail server says to a command (RFC 5321, section 4.2)."""

    code: int
    text: str
    """With the enhanced code (RFC 3463) in front where there is one; lines are separated by LF."""

    @property
    def is_yes(self) -> bool:
        """Whether the command was carried out."""
        return 200 <= self.code < 300

    @property
    def is_final(self) -> bool:
        """Whether it is of no use to try again."""
        return self.code >= 500

    def text_as(self, kind: str) -> str:
        """The text with an enhanced code of KIND, `4` or `5`, in the place of another."""
        if len(self.text) > 2 and self.text[0] in "245" and self.text[1] == ".":
            return kind + self.text[1:]
        return self.text


@dataclass(frozen=True, slots=True)
class Link:
    """A tracked link as figures name it: host and path of the target, no query, secrets masked."""

    number: LinkNumber
    host: str
    path: str


@dataclass(frozen=True, slots=True)
class Registration:
    """One tracked copy about to leave: everything the store needs to let events hang on it."""

    recipient: Pseudonym
    delivery: DeliveryId
    last_day: Day
    sent_hour: Hour
    message: MessageKey
    owner: Owner
    label: str | None
    links: tuple[Link, ...]
    purposes: frozenset[Purpose]
    """What the copy would track; the store tracks those of them that still have a live grant."""
    source: str
    reference: str | None = None
    left: Mapping[Left, int] = field(default_factory=dict)
    """How many links were left as they stood, and why."""


@dataclass(frozen=True, slots=True)
class DeliveryRef:
    """The key of a delivery, as a token carries it."""

    last_day: Day
    delivery: DeliveryId


@dataclass(frozen=True, slots=True)
class UntouchedCopy:
    """One copy that left as it came: counted, and nothing else remembered."""

    owner: Owner
    day: Day
    reason: Reason
    message: MessageKey | None
    """Its campaign or message; counted there when that is known to the store or named by the caller."""
    campaign: bool
    """Whether the caller named a campaign."""


# --- hits --------------------------------------------------------------------------------------


class Hit(NamedTuple):
    """A request for a pixel or a link, as a door saw it. Made in a door, eaten by core/classify; never stored."""

    method: str
    headers: Mapping[str, str]
    """Lower-case names."""
    peer: str
    at: datetime
    number: int | None = None
    """A keyed hash of method and headers, under which what was found out about those may be remembered."""


class Event(NamedTuple):
    """What may be remembered of a hit: that it happened, to which delivery, in which hour."""

    last_day: Day
    delivery: DeliveryId
    purpose: Purpose
    link: LinkNumber
    hour: Hour
    agent: Agent


# --- figures -----------------------------------------------------------------------------------


class Order(StrEnum):
    """In which order messages are listed."""

    SENT = "sent"
    """Newest first."""
    ENGAGED = "engaged"
    """Those that a person touched last first; then those that nobody touched, newest first."""


@dataclass(frozen=True, slots=True)
class MessageQuery:
    """Which messages are asked for."""

    owners: frozenset[Owner] | None
    """A rep's logins; None: everybody's."""
    order: Order = Order.SENT
    limit: int = 50
    after: str | None = None
    """What another page said of where it ends."""
    label: str | None = None
    messages: frozenset[MessageKey] | None = None
    first_day: Day | None = None
    last_day: Day | None = None
    """Sent last on one of these days."""
    engaged: bool | None = None
    """Only those that a person touched, or that nobody touched."""
    source: str | None = None
    """Whose references are named; None: those of every system."""


@dataclass(frozen=True, slots=True)
class LinkFigures:
    """Clicks on one link, in distinct deliveries."""

    host: str
    path: str
    people: int
    machines: int
    """Deliveries in which only machines followed it."""


@dataclass(frozen=True, slots=True)
class MessageFigures:
    """What a rep may know about one message; counts are of distinct deliveries."""

    message: MessageKey
    label: str | None
    first_sent: Hour
    last_sent: Hour
    measurable: Mapping[Purpose, int]
    opened: int
    opened_by_machines_only: int
    clicked: int
    clicked_by_machines_only: int
    tracked: int
    untouched: Mapping[Reason, int]
    links: tuple[LinkFigures, ...] = ()
    measured: int = 0
    """Copies of which anything could be measured when they were sent, and still may."""
    engaged: int = 0
    """Copies that a person opened or clicked."""
    machines_only: int = 0
    """Copies that only machines touched."""
    last_engaged: Hour | None = None
    left: Mapping[Left, int] = field(default_factory=dict)
    """How many links were left as they stood, and why."""
    references: tuple[str, ...] = ()
    """What a mail system calls those who got it, where they are few."""

    @property
    def sent(self) -> int:
        """Copies that went out, tracked or not."""
        return self.tracked + sum(self.untouched.values())

    @property
    def ended(self) -> int:
        """Copies that left tracked, and whose recipients withdrew since or whose consent ran out."""
        return self.tracked - self.measured


@dataclass(frozen=True, slots=True)
class Moment:
    """What happened to a message in an hour, or on a day; counts are of distinct deliveries."""

    hour: Hour
    """The first, of a day."""
    opened: int
    clicked: int
    machines: int
    """Deliveries that machines touched then."""


@dataclass(frozen=True, slots=True)
class TeamTotals:
    """What all reps' mail came to on a full day, rounded; None: too few people, on one side or the other."""

    day: Day
    sent: int | None = None
    measurable: int | None = None
    """Copies of which opens or clicks could be measured."""
    open_base: int | None = None
    """Copies whose opens could be measured."""
    opened: int | None = None
    click_base: int | None = None
    clicked: int | None = None


@dataclass(frozen=True, slots=True)
class Reasons:
    """Why copies left untouched in a span of days."""

    counts: Mapping[Reason, int]
    came_signed: bool
    """Whether more than a fifth of all copies came signed."""
    newest: int | None = None
    """Of messages with copies of their own only so many were looked at; None: all of them."""


@dataclass(frozen=True, slots=True)
class Coverage:
    """How much of what went out on a day could be measured."""

    day: Day
    sent: int
    measured: int


@dataclass(frozen=True, slots=True)
class Engagement:
    """One person and one message: what their mail program did, by the hour."""

    message: MessageKey
    label: str | None
    sent: Hour
    measurable: frozenset[Purpose]
    opened: Hour | None
    clicked: Hour | None
    machines: bool
    """Whether machines touched it."""
    links: tuple[LinkFigures, ...] = ()


@dataclass(frozen=True, slots=True)
class PersonFigures:
    """What a rep may know about one person, most recent message first."""

    purposes: frozenset[Purpose]
    """Live grants."""
    messages: tuple[Engagement, ...]


# --- staff -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ApiKey:
    """An API key as the store knows it: never the key itself."""

    name: str
    scopes: frozenset[Scope]
    created_day: Day
    owner: str | None = None
    revoked_day: Day | None = None


class Role(StrEnum):
    """What somebody who signs in is there for; each sees what that needs, and no role includes another."""

    REP = "rep"
    """Sees what became of their own messages."""
    MANAGER = "manager"
    """Sees totals of the team."""
    PRIVACY = "privacy"
    """Sees consents, the audit trail and deletion, and answers requests; no engagement."""


@dataclass(frozen=True, slots=True)
class Account:
    """Somebody who may sign in."""

    id: int
    login: str
    """An e-mail address, normalised."""
    role: Role
    created_day: Day
    aliases: tuple[str, ...] = ()
    """Other addresses of theirs, normalised: mail from these is theirs too."""
    language: Language | None = None
    """What they chose; None: what their browser asks for."""
    second_factor: bool = False
    """Whether they have set one up."""
    disabled_day: Day | None = None

    @property
    def logins(self) -> tuple[str, ...]:
        """Every name under which messages may be theirs."""
        return (self.login, *self.aliases)

    @property
    def actor(self) -> str:
        """How the audit trail names them: without the address, which goes with the account."""
        return f"{_ACCOUNT}{self.id}"


_ACCOUNT = "user:"


def is_account(actor: str) -> bool:
    """Whether ACTOR, as ledger and audit trail name them, is somebody who signed in; no API key has such a name."""
    return actor.startswith(_ACCOUNT)


@dataclass(frozen=True, slots=True)
class Credentials:
    """What an account is proved with; it never leaves the flows that check it."""

    account: Account
    password: str = field(repr=False)
    """An argon2id hash in its own notation."""
    second_factor: bytes | None = field(default=None, repr=False)
    """The sealed secret of one-time codes."""
    last_step: int = 0
    """The last time step whose code was used: none is good twice."""


@dataclass(frozen=True, slots=True)
class StaffSession:
    """A browser in which somebody signed in."""

    digest: bytes = field(repr=False)
    """Of its token, which only the browser has."""
    account: Account
    began: datetime
    used: datetime
    """When it was used last, to the minute."""
    ends: datetime
    complete: bool
    """Whether all was proved that the account asks for; until then only the way there is open."""


# --- errors ------------------------------------------------------------------------------------


class TrackerError(Exception):
    """The root of the tree. An error never quotes what the caller sent: it may hold an address.

    Class attributes are the answer: HTTP status, a slug for the problem's type, and what a person
    reads: what happened (`title`), what it means for their mail or data (`meaning`), what to do (`remedy`).
    `detail` names the field or setting concerned.
    """

    status: ClassVar[int] = 500
    slug: ClassVar[str] = "internal"
    title: ClassVar[str] = "Something went wrong inside the tracker."
    meaning: ClassVar[str] = "Nothing was recorded."
    remedy: ClassVar[str] = "Send the message as you have it; tell the operator, whose log names the place."

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail or self.title)
        self.detail = detail

    @property
    def explanation(self) -> str:
        """Three lines for a terminal: what happened, what it means and what to do."""
        happened = self.title + (f" ({self.detail})" if self.detail else "")
        return f"{happened}\n  What it means: {self.meaning}\n  What to do:    {self.remedy}"


class BadRequest(TrackerError):
    """The caller's request is at fault; nothing was changed."""

    status = 400
    slug = "bad-request"
    title = "The request cannot be understood."
    meaning = "Nothing was changed."
    remedy = "Correct the request and send it again."


class BadJson(BadRequest):
    """The body is not JSON of the documented shape."""

    slug = "bad-json"
    title = "The body is not valid JSON."
    remedy = "Send one JSON object as application/json."


class InvalidField(BadRequest):
    """A field is missing, unknown or has an impossible value; `detail` names it."""

    status = 422
    slug = "invalid-field"
    title = "A field is missing, unknown or impossible."
    remedy = "Correct the field that is named and try again."


class InvalidAddress(BadRequest):
    """No address, or none that mail could be sent to."""

    status = 422
    slug = "invalid-address"
    title = "That is not an e-mail address."
    meaning = "Nothing was looked up or changed."
    remedy = "Give exactly one address, such as anna@example.org, without a display name."


class MissingRecipient(BadRequest):
    """A rewrite without Tracker-Recipient."""

    slug = "missing-recipient"
    title = "The envelope recipient is missing."
    meaning = "The message was not looked at."
    remedy = (
        "Name the envelope recipient of this copy in the header Tracker-Recipient, or send the message as you have it."
    )


class WrongContentType(BadRequest):
    """A body of another media type than the door takes."""

    status = 415
    slug = "wrong-content-type"
    title = "The body has the wrong content type."
    remedy = "Use the content type that is named."


class BodyTooLarge(BadRequest):
    """A body over the hard limit of four times max_message."""

    status = 413
    slug = "body-too-large"
    title = "The message is too large to be looked at."
    meaning = "The message was not changed and nothing was recorded."
    remedy = "Send it as you have it."


class BodyTooSlow(BadRequest):
    """A body that did not arrive in time."""

    status = 408
    slug = "body-too-slow"
    title = "The body did not arrive in time."
    meaning = "The message was not looked at."
    remedy = "Send it as you have it."


class AddressInValue(BadRequest):
    """An e-mail address hides in a reference or an evidence value (promise 7)."""

    status = 422
    slug = "address-in-value"
    title = "A value contains an e-mail address."
    meaning = "Nothing was stored: addresses are never kept, in any encoding."
    remedy = "Take the address out of the field that is named; refer to the person by your own id."


class PurchasedList(BadRequest):
    """Bought addresses cannot have consented (UWG section 7, GDPR Art. 7)."""

    status = 422
    slug = "purchased"
    title = "Purchased lists are no consent."
    meaning = "No grant was made."
    remedy = "Ask the person; until they say yes their mail goes out untracked."


class ExistingCustomer(BadRequest):
    """Being a customer may allow a mail (UWG section 7(3)), and never a pixel."""

    status = 422
    slug = "existing-customer"
    title = "Being a customer is no consent to tracking."
    meaning = "No grant was made."
    remedy = "Ask the person; until they say yes their mail goes out untracked, which is what section 7(3) UWG covers."


class MissingEvidence(BadRequest):
    """A consent without anything that shows it."""

    status = 422
    slug = "missing-evidence"
    title = "The consent comes without evidence."
    meaning = "No grant was made."
    remedy = (
        "Say in `evidence` where the consent was given, and when and how it was confirmed"
        " (on the command line: --source, --confirmed-at, --confirmed-by)."
    )


class UnknownNotice(BadRequest):
    """A consent to a text that is not on file."""

    status = 422
    slug = "unknown-notice"
    title = "That notice version is not known in that language, or it was superseded."
    meaning = "No grant was made."
    remedy = "Name the version and language that the person saw; `tracker init` put 2026-1 on file."


class FutureDate(BadRequest):
    """A consent from the future."""

    status = 422
    slug = "future-date"
    title = "A date lies in the future."
    meaning = "No grant was made."
    remedy = "Check the clock and the time zone of the system that reports the consent."


class ExpiredConsent(BadRequest):
    """A consent older than `consent_days`."""

    status = 422
    slug = "expired-consent"
    title = "The consent is too old to be used."
    meaning = "No grant was made."
    remedy = "Ask the person again."


class Suppressed(BadRequest):
    """The person said no; only they can change it."""

    status = 409
    slug = "suppressed"
    title = "The person said no."
    meaning = "No grant was made and nothing was mailed."
    remedy = "Only the person can change this, at /ask on the public address of this tracker."


class BadList(BadRequest):
    """A customer list that is no CSV file with the columns that are known; `detail` says what is wrong."""

    status = 422
    slug = "bad-list"
    title = "The list cannot be taken."
    meaning = "Nothing was written."
    remedy = "Correct what is named and import the list again; `tracker consent import --help` names the columns."


class Unauthorized(BadRequest):
    """No key, or an unknown or revoked one."""

    status = 401
    slug = "unauthorized"
    title = "The API key is missing or unknown."
    remedy = "Send `Authorization: Bearer KEY` with a key made by `tracker key create`."


class Forbidden(BadRequest):
    """The key lacks the scope or names another rep."""

    status = 403
    slug = "forbidden"
    title = "This API key may not do that."
    remedy = "Use a key with the scope that is named, made by `tracker key create`."


class ForeignOwner(Forbidden):
    """A key made for one rep names another."""

    slug = "foreign-owner"
    title = "This API key belongs to another rep."
    remedy = "Leave Tracker-Owner out, or use that rep's own key."


class NotForYou(Forbidden):
    """A page of the dashboard that is not for this role."""

    slug = "not-for-you"
    title = "This page is not for your role."
    meaning = "Nothing was shown and nothing was changed."
    remedy = "Use the pages that the navigation names; whoever runs this tracker can change your role."


class SignedOut(Forbidden):
    """A form from somebody whose session is over, or who is still on the way in."""

    slug = "signed-out"
    title = "You are not signed in any more."
    remedy = "Sign in and do it once more."


class ForeignForm(Forbidden):
    """A form that did not come from a page of ours, or from one of an earlier session."""

    slug = "foreign-form"
    title = "This form is not from a page that is open now."
    remedy = "Open the page again and send the form from there."


class SignInFailed(BadRequest):
    """Whatever was wrong: which of it is not said. `detail` may name the field of somebody who is signed in."""

    status = 403
    slug = "sign-in-failed"
    title = "That was not right."
    remedy = "Check what you typed and try again; after several attempts you have to wait."


class ProviderRefused(SignInFailed):
    """What the company's provider said does not hold; `detail` says in our words what."""

    slug = "provider-refused"


class ProviderAway(TrackerError):
    """The company's provider cannot be asked just now."""

    status = 503
    slug = "provider-away"
    title = "The company's sign-in does not answer just now."
    meaning = "Nothing has changed."
    remedy = "Try again in a few minutes, or sign in with your password."


class BadPassword(BadRequest):
    """A password that may not be set; `detail` is short, long, common or context."""

    status = 422
    slug = "bad-password"
    title = "This password cannot be set."
    remedy = (
        "Choose one of 15 to 128 characters that nobody would guess, such as four words that do not belong together; "
        "not your address, nor the name of the company."
    )


class TooManyAttempts(BadRequest):
    """Somebody tries passwords or codes."""

    status = 429
    slug = "too-many-attempts"
    title = "There were too many attempts."
    meaning = "Nothing was looked at."
    remedy = "Wait a while and try again."


class Misdirected(BadRequest):
    """The dashboard under a name that its settings do not know."""

    status = 421
    slug = "misdirected"
    title = "The dashboard is not at this address."
    remedy = "Whoever runs this tracker: let `dashboard_url` be the address that browsers use."


class NotFound(BadRequest):
    """No such thing, or not for this caller."""

    status = 404
    slug = "not-found"
    title = "There is nothing here."
    remedy = "Check the address of the request."


class NotAllowed(BadRequest):
    """The path exists, but not with this method."""

    status = 405
    slug = "method-not-allowed"
    title = "That cannot be done here with this method."
    remedy = "Use a method that the header Allow names."


class BadToken(NotFound):
    """A token that was altered, cut or made for another door."""

    slug = "bad-token"
    title = "This link is not one of ours, or it was cut or changed on the way."
    meaning = "Nothing was recorded and nothing was changed."
    remedy = "Open the link from the original message again, complete and unchanged."


class AskClosed(BadRequest):
    """An ask token that is no longer good for an answer."""

    status = 410
    slug = "ask-closed"
    title = "This link is no longer in use."
    meaning = "Nothing was recorded just now."
    remedy = "If you want to answer, have a new link mailed to you."


class AskExpired(AskClosed):
    """Its 30 days are over, or the text that it was about is no longer in force."""

    slug = "ask-expired"
    title = "This link has expired."


class AskSpent(AskClosed):
    """It was answered before: it is good for one answer."""

    slug = "ask-spent"
    title = "This link has been used already."
    meaning = "An answer was recorded with it before, and none just now."
    remedy = "If you want to change your answer, have a new link mailed to you."


class AskRetired(AskClosed):
    """Its key leaked, so that anybody may have made it."""

    slug = "ask-retired"
    title = "The key that signed this link is no longer in use."


class NeedsOwnMail(AskClosed):
    """A yes through a sender's link to what only a link that we mailed can open (DESIGN.md, Consent)."""

    status = 409
    slug = "needs-own-mail"
    title = "Your yes needs a link that we mail to you."
    meaning = (
        "Your yes was not recorded: this link came in somebody else's mail, and it must be certain that it is you."
    )
    remedy = "Have a link mailed to you, and say yes there."


class AskedAlready(BadRequest):
    """An invitation of somebody who was asked within six months and did not answer (LAW.md R12)."""

    status = 409
    slug = "asked-already"
    title = "The person was asked before and did not answer."
    meaning = "No invitation was made: six months lie between two of them."
    remedy = "Leave them alone until then; they can agree at /ask on the public address of this tracker at any time."


class StoreUnavailable(TrackerError):
    """The database cannot be read or written just now."""

    status = 503
    slug = "store-unavailable"
    title = "The database cannot be reached just now."
    meaning = "Nothing was recorded. Mail goes out unchanged meanwhile."
    remedy = "Try again in a minute."


class AnotherSweep(StoreUnavailable):
    """Some other process sweeps the same database."""

    slug = "another-sweep"
    title = "Another sweep of this database is running."
    meaning = "That one deletes what is past its day; this one deleted nothing."
    remedy = "Wait until it has ended."


class NotJustNow(StoreUnavailable):
    """A page that needs the database while that is away."""

    slug = "not-just-now"
    title = "This page does not work just now."
    meaning = "Nothing has changed."
    remedy = "Please try again in a few minutes."


class NotRecorded(StoreUnavailable):
    """A withdrawal that could not be written: never a false yes."""

    slug = "not-recorded"
    title = "Your withdrawal could not be recorded just now."
    meaning = "Nothing has changed yet."
    remedy = "Please press the button again in a few minutes."


class NoRoom(TrackerError):
    """Bodies of other requests take all the memory that there is for them."""

    status = 503
    slug = "no-room"
    title = "Too many large bodies are under way."
    meaning = "The message was not looked at."
    remedy = "Send it as you have it; what is no message, send again in a moment."


class MailNotSent(TrackerError):
    """The next hop did not take a mail of ours, or not just now."""

    status = 503
    slug = "mail-not-sent"
    title = "The mail server does not take our mail just now."
    meaning = "The mail was not sent."
    remedy = "See that `smtp_next_hop` names a mail server that can be reached and takes mail from `contact`."


class MailRefused(MailNotSent):
    """The next hop refused a mail of ours for good: trying again changes nothing."""

    slug = "mail-refused"
    title = "The mail server refused our mail."


class WebhookNotSent(TrackerError):
    """The system that is to be told of events did not take it, or not just now."""

    status = 503
    slug = "webhook-not-sent"
    title = "The system behind `webhook_url` does not take what it is to be told."
    meaning = "It is tried again, less and less often, until the event's last day."
    remedy = "See that `webhook_url` can be reached from here, answers 2xx, and is not at a private address."


class FormTooLarge(BodyTooLarge):
    """A form on a page with more in it than any form of ours has."""

    slug = "form-too-large"
    title = "That is more than this page takes."
    meaning = "Nothing was changed."
    remedy = "Open the link from the original message again and use the button there."


class PageFailed(TrackerError):
    """A fault of ours while a page was made; what a form did before it is not known."""

    slug = "page-failed"
    title = "Something went wrong on our side."
    meaning = "If you pressed a button, it is not certain that this was recorded."
    remedy = "Please try again in a few minutes."


class SetupError(TrackerError):
    """The installation itself is wrong; the program does not start."""

    slug = "setup"
    title = "The installation is not complete or not right."
    meaning = "The tracker did not start; no mail was touched."
    remedy = "Correct what is named and start again; `tracker doctor` checks everything."


class BadSetting(SetupError):
    """An unknown or impossible setting; `detail` names it and says why."""

    slug = "bad-setting"
    title = "A setting is unknown or impossible."
    remedy = "Correct the setting that is named in tracker.toml or in the environment and start again."


class BadKeyFile(SetupError):
    """The key file is missing, damaged, or readable by others."""

    slug = "bad-key-file"
    title = "The key file cannot be used."
    remedy = "Put the right key file in place with mode 0600 (`chmod 600`); without it old links cannot be verified."


class BadBlockFile(SetupError):
    """The file of blocked hosts cannot be read or written; `detail` says why."""

    slug = "bad-block-file"
    title = "The file of blocked hosts cannot be used."
    meaning = "Nothing was changed; a server that runs goes by the list as it read it last."
    remedy = "Correct the line that is named, or make the file readable: `blocked_hosts` in the settings names it."


class CannotRetire(BadKeyFile):
    """The signing key that is to be retired is not there, or is the only one that signs; `detail` says which."""

    slug = "cannot-retire"
    title = "The signing key cannot be retired."
    meaning = "Nothing was changed: every key is as it was."
    remedy = "Name the id of a key in the key file, when another one signs already (`tracker secret rotate`)."


class BadBackupFolder(SetupError):
    """The folder for a backup holds something, or cannot be written; `detail` says which."""

    slug = "bad-backup-folder"
    title = "No backup was made."
    meaning = "Nothing was overwritten, and nothing of it is left; the server goes on as before."
    remedy = "Name a folder that is new or empty, and that this user can write."


class WrongKey(SetupError):
    """The key file does not belong to this database."""

    slug = "wrong-key"
    title = "The key file does not belong to this database."
    meaning = "The tracker did not start: with another pseudonym key nobody's consent or refusal would be found."
    remedy = "Name the key file that was made with this database in `key_file`, or restore it from where you keep keys."


class SchemaBehind(SetupError):
    """The database has not been made, or was made by another release."""

    slug = "schema-behind"
    title = "The database is missing or belongs to an older release."
    remedy = "Run `tracker init` for a new installation; otherwise make a backup and run `tracker upgrade`."


class NotMoved(TrackerError):
    """An installation could not be copied to another database."""

    slug = "not-moved"
    title = "The installation was not copied to the other database."
    meaning = "Nothing was kept of the copy. The file is as it was, and the tracker goes on with it."
    remedy = "Correct what is named above, stop the server, and run the command again."


class SchemaAhead(SetupError):
    """The database was upgraded for a newer release, and this one cannot work with it any more."""

    slug = "schema-ahead"
    title = "The database was upgraded for a newer release than this."
    remedy = "Install the release that the other servers run, and start again."


class IncompleteNotice(SetupError):
    """The privacy notice or the record of processing lacks a statement; `detail` names the settings."""

    status = 503
    slug = "incomplete-notice"
    title = "The privacy notice is not complete yet."
    meaning = "A notice with gaps is not shown."
    remedy = "Write to the controller; whoever runs this tracker finds in its settings what is missing."


class BadReceipt(BadRequest):
    """A receipt that was changed, or that another installation signed."""

    status = 422
    slug = "bad-receipt"
    title = "The receipt is not genuine, or belongs to somebody else."
    meaning = "It proves nothing."
    remedy = "Check that the file is complete and unchanged, and that the public key is that of who issued it."


class BadNotice(BadRequest):
    """A text that cannot be put on file; `detail` says why."""

    status = 422
    slug = "bad-notice"
    title = "The text cannot be put on file."
    remedy = "Correct what is named and add the notice again."


class NoSuchNotice(BadNotice):
    """The version that is to be superseded is not on file, or was superseded before."""

    slug = "no-such-notice"
    title = "There is no such version in force."
    meaning = "Nothing was changed: every consent is as it was."
    remedy = "`tracker notice list` names the versions and says which are in force."


class BadJournal(SetupError):
    """The journal is missing, damaged, or reaches back less far than the database; `detail` says which."""

    slug = "bad-journal"
    title = "The journal of withdrawals cannot be used."
    meaning = "Nothing is tracked, since somebody who said no might be. Mail goes out unchanged meanwhile."
    remedy = "Put the journal back, or run `tracker restore-check`; deploy/restore.md says how."


# --- the commands that try an installation out ---------------------------------------------------


class NoAnswer(TrackerError):
    """A server that was asked over HTTP does not answer; `detail` says which, and why in words."""

    status = 503
    slug = "no-answer"
    title = "A server does not answer."
    meaning = "Nothing was sent."
    remedy = "See that `tracker serve` runs with these settings, and that the address that is named leads to it."


class NothingToTry(BadRequest):
    """A sample to somebody who has not agreed to anything."""

    status = 409
    slug = "nothing-to-try"
    title = "No consent is on record for this address."
    meaning = "Its mail leaves byte for byte as it comes, so that there would be nothing to see. Nothing was sent."
    remedy = (
        "Record the person's consent first (`tracker consent grant`, or /ask). For a mailbox of your own: "
        "--record-consent with a line on what proves it."
    )


class NoWayToTry(SetupError):
    """The settings name no way for a sample to leave; `detail` says what is missing."""

    slug = "no-way-to-try"
    title = "The sample has no way to go."
    meaning = "Nothing was sent."
    remedy = "Set or give what is named; `deploy/smtp.md` and the handbook, `deploy/README.md`, show both ways."


class SampleNotTaken(TrackerError):
    """The tracker's own door did not take a sample; `detail` says what it said."""

    status = 503
    slug = "sample-not-taken"
    title = "The tracker did not take the sample."
    meaning = "Nothing was sent. Mail that your systems hand in the same way fares no better."
    remedy = (
        "See that `tracker serve` runs with these settings. Where it asks for a login: --key FILE, with an API key "
        "that has the scope rewrite."
    )


class SampleRefused(TrackerError):
    """The next hop, or the tracker for it, refused a sample; `detail` is the answer, without addresses."""

    status = 502
    slug = "sample-refused"
    title = "The next hop did not take the sample."
    meaning = "Nobody has got it. The text is the next hop's own, and your other mail may hear the same."
    remedy = (
        "Look whether `smtp_next_hop` names the right server, whether it knows this sender (--from) and this "
        "recipient, and try again; after a 4xx in a few minutes."
    )


class SampleUntracked(TrackerError):
    """A sample that went, or would go, without pixel and tracked links; `detail` says why."""

    status = 409
    slug = "sample-untracked"
    title = "The sample is not tracked."
    meaning = "Such mail leaves as it comes: it arrives, and nothing of it is measured."
    remedy = (
        "Change what is named, or try another sender with --from;"
        " deploy/README.md explains each reason (Why a copy left untouched)."
    )
