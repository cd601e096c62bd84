"""Says of everything that could not be measured what a rep can do about it."""

from __future__ import annotations

from enum import StrEnum

from tracker.model import Purpose, Reason, Standing


class Step(StrEnum):
    """What to do next."""

    ASK = "ask"
    """Nobody asked them: the link to `/ask` for the signature."""
    NOTHING = "nothing"
    """They said no, or it cannot be otherwise."""
    OPERATOR = "operator"
    """Whoever runs the tracker or the mail system can change it."""
    WAIT = "wait"
    """It goes by itself, or the person has to answer."""
    OWN_COPY = "own-copy"
    """Each recipient needs a copy of their own."""


class State(StrEnum):
    """Where a person stands about one purpose."""

    LIVE = "live"
    PENDING = "pending"
    REFUSED = "refused"
    NEVER = "never"


STEPS = {
    Reason.NO_GRANT: Step.ASK,
    Reason.SEVERAL_RECIPIENTS: Step.OWN_COPY,
    Reason.FOREIGN_SENDER: Step.OPERATOR,
    Reason.SIGNED: Step.OPERATOR,
    Reason.ENCRYPTED: Step.NOTHING,
    Reason.DKIM_SIGNED: Step.OPERATOR,
    Reason.ALREADY_TRACKED: Step.NOTHING,
    Reason.AUTO_SUBMITTED: Step.NOTHING,
    Reason.REPORT: Step.NOTHING,
    Reason.MALFORMED: Step.OPERATOR,
    Reason.UNSUPPORTED: Step.NOTHING,
    Reason.NOTHING_TO_TRACK: Step.NOTHING,
    Reason.TOO_LARGE: Step.OPERATOR,
    Reason.STORE_UNAVAILABLE: Step.OPERATOR,
    Reason.ERROR: Step.OPERATOR,
    Reason.OBSERVED: Step.OPERATOR,
}
"""By the reason for which a copy left untouched."""
CAME_SIGNED = frozenset({Reason.SIGNED, Reason.DKIM_SIGNED})
MUCH = 5
"""Copies came signed too often when more than one in so many did."""


def state_of(standing: Standing, purpose: Purpose) -> State:
    """Where who stands at STANDING stands about PURPOSE; a no counts for more than what waits."""
    if purpose in standing.grants:
        return State.LIVE
    if purpose in standing.suppressed:
        return State.REFUSED
    return State.PENDING if purpose in standing.pending else State.NEVER


def step_of(state: State) -> Step | None:
    """What to do about a person in STATE; None when all is well."""
    return {State.LIVE: None, State.PENDING: Step.WAIT, State.REFUSED: Step.NOTHING, State.NEVER: Step.ASK}[state]
