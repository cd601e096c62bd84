"""Renders the pages for recipients: templates, language, and the headers that keep a page to itself."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType
from typing import Final

from aiohttp import web
from jinja2 import DictLoader, Environment, StrictUndefined
from markupsafe import Markup

import tracker
from tracker.core.disclosure import refusals_days
from tracker.doors.languages import NAMES, Languages, choose, period
from tracker.doors.prepared import Prepared
from tracker.model import Language, TrackerError

HSTS: Final = "max-age=31536000"
EXTENSIONS: Final = ("jinja2.ext.i18n",)
KNOWN_FIELDS: Final = 256
"""How many different Accept-Language fields are read only once; who sent them is not known then."""


@dataclass(frozen=True, slots=True)
class Site:
    """What the pages say about this installation, from its settings."""

    controller: str
    contact: str
    """An e-mail address or an http(s) URL."""
    public_url: str
    retention_days: int
    consent_days: int
    proof_days: int
    language: Language = Language.EN
    """For who asks for none of ours."""
    notice: bool = False
    """Whether there is a complete privacy notice to link to."""
    told_system: str = ""
    """What the system that webhooks tell is called; empty: none is told."""
    own_file: bool = True
    """Whether the database is a file that this software rewrites; otherwise a server keeps it."""


class Pages:
    """Makes the pages of one installation; everything is read at start, so that an upgrade cannot mix old and new."""

    def __init__(self, site: Site, folder: Path | None = None, *, part: str | None = None) -> None:
        """Read templates and catalogues from FOLDER (default: where this release keeps them).

        PART: a folder in it with a style and further catalogues of its own. Raises OSError when they are missing.
        """
        folder = folder or templates_folder()
        own = folder if part is None else folder / part
        self.site = site
        self.languages = Languages(folder / "locale", None if part is None else own / "locale")
        self._style = (own / "style.css").read_text(encoding="utf-8")
        sources = {
            path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8") for path in folder.rglob("*.html")
        }
        self._environments = {language: self._environment(sources, language) for language in Language}
        self.headers = MappingProxyType(self._headers())
        self._refusals: dict[tuple[type[TrackerError], Language], Prepared] = {}
        self._choose = lru_cache(KNOWN_FIELDS)(choose)

    def language_of(self, request: web.Request, otherwise: Language | None = None) -> Language:
        """The language asked for by `?lang=`, else by Accept-Language, else OTHERWISE, else the installation's."""
        accepted = ", ".join(request.headers.getall("Accept-Language", ()))
        return chosen(request) or choose(accepted) or otherwise or self.site.language

    def language(self, accepted: Iterable[str]) -> Language:
        """The language that the ACCEPTED fields of Accept-Language ask for, else the installation's."""
        return self._choose(", ".join(accepted)) or self.site.language

    def answer(
        self, template: str, language: Language, values: Mapping[str, object] | None = None, *, status: int = 200
    ) -> web.Response:
        """The page that TEMPLATE makes of VALUES, in LANGUAGE."""
        body = self.render(template, language, values)
        headers = {**self.headers, "Content-Language": language.value}
        return web.Response(status=status, text=body, content_type="text/html", headers=headers)

    def prepared(
        self, template: str, language: Language, values: Mapping[str, object] | None = None, *, status: int = 200
    ) -> Prepared:
        """The same page for who asked on the short way."""
        headers = {**self.headers, "Content-Language": language.value, "Content-Type": "text/html; charset=utf-8"}
        return Prepared(status, headers, self.render(template, language, values).encode())

    def refusal(self, error: TrackerError, language: Language) -> Prepared:
        """The page for ERROR in LANGUAGE, made once: whoever tries tokens or paths costs little."""
        key = type(error), language
        if key not in self._refusals:
            texts = self.error_texts(error, language)
            self._refusals[key] = self.prepared("error.html", language, texts, status=error.status)
        return self._refusals[key]

    def render(self, template: str, language: Language, values: Mapping[str, object] | None = None) -> str:
        """The HTML that TEMPLATE makes of VALUES, in LANGUAGE."""
        return self._environments[language].get_template(template).render(values or {})

    def error(self, request: web.Request, error: TrackerError) -> web.Response:
        """The page for ERROR: what happened, what it means, what to do. Its detail is not shown."""
        return self.refusal(error, self.language_of(request)).response()

    def error_texts(self, error: TrackerError, language: Language) -> dict[str, object]:
        """The texts of ERROR in LANGUAGE, for a template."""
        text = self.languages.text
        return {
            "title": text(language, error.title).rstrip("."),  # a heading ends without a full stop
            "meaning": text(language, error.meaning),
            "remedy": text(language, error.remedy),
        }

    def _environment(self, sources: Mapping[str, str], language: Language) -> Environment:
        environment = Environment(
            loader=DictLoader(sources),
            autoescape=True,
            undefined=StrictUndefined,
            extensions=EXTENSIONS,
            auto_reload=False,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        environment.policies["ext.i18n.trimmed"] = True

        def gettext(english: str) -> str:
            return self.languages.text(language, english)

        def ngettext(english: str, plural: str, number: int) -> str:
            return gettext(english if number == 1 else plural)

        environment.install_gettext_callables(gettext, ngettext, newstyle=True)  # type: ignore[attr-defined]
        environment.globals.update(
            language=language.value,
            languages={other.value: NAMES[other] for other in Language},
            controller=self.site.controller,
            contact=_contact_link(self.site.contact),
            notice=self.site.notice,
            style=Markup(self._style),  # noqa: S704 - a file of this release
            retention=period(self.site.retention_days, language),
            validity=period(self.site.consent_days, language),
            proof=period(self.site.proof_days, language),
            refusals=period(refusals_days(self.site.proof_days), language),
            told_system=self.site.told_system,
            own_file=self.site.own_file,
        )
        return environment

    def _headers(self) -> dict[str, str]:
        style = b64encode(sha256(self._style.encode()).digest()).decode()
        policy = (
            "default-src 'none'",
            "object-src 'none'",
            f"style-src 'sha256-{style}'",
            "form-action 'self'",
            "base-uri 'none'",
            "frame-ancestors 'none'",
        )
        return {
            **answer_headers(self.site.public_url),
            "Content-Security-Policy": "; ".join(policy),
            "X-Robots-Tag": "noindex, nofollow",
        }


def chosen(request: web.Request) -> Language | None:
    """The language that a link on one of our pages named, if one did."""
    try:
        return Language(request.query.get("lang", ""))
    except ValueError:
        return None


def answer_headers(public_url: str) -> dict[str, str]:
    """What every public answer carries, pixel and redirect included."""
    headers = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff"}
    if public_url.startswith("https://"):
        headers["Strict-Transport-Security"] = HSTS
    return headers


def templates_folder() -> Path:
    """Where the templates are: inside the installed package, or at the root of the checkout."""
    package = Path(tracker.__file__).parent
    installed = package / "templates"
    return installed if installed.is_dir() else package.parent / "templates"


def _contact_link(contact: str) -> Markup:
    if contact.startswith(("https://", "http://")):
        return Markup('<a href="{}" rel="noreferrer">{}</a>').format(contact, contact)
    if "@" in contact:
        return Markup('<a href="mailto:{}">{}</a>').format(contact, contact)
    return Markup.escape(contact)
