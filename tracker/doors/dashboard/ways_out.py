"""Where a rep's pages lead out of the dashboard: to people in the company's own system, and to the page that asks."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote


@dataclass(frozen=True, slots=True)
class WaysOut:
    """What pages need to know of the world outside."""

    crm_url: str | None
    """Where a person's reference leads, with `{reference}` in it."""
    crm_key: str | None
    """The API key whose references are shown; None: those of every mail system."""
    ask_url: str
    """Where anybody can agree, for signatures."""

    def link(self, reference: str) -> str | None:
        """Where REFERENCE leads."""
        return None if self.crm_url is None else self.crm_url.replace("{reference}", quote(reference, safe=""))

    @property
    def shown(self) -> dict[str, object]:
        """What a template is told."""
        return {"crm": self, "ask_url": self.ask_url}
