"""The commands that print what the law wants told: the privacy notice and the record of processing."""

from __future__ import annotations

from typing import Final

import click

from tracker.cli.common import LANGUAGE, Context, spoken
from tracker.doors.pages import Pages
from tracker.doors.plain_text import plain_text
from tracker.doors.statements import Statements
from tracker.parts import utc_now
from tracker.policies import disclosure, site

FORM: Final = click.option(
    "--format", "form", type=click.Choice(["text", "html"]), default="text", show_default=True, help="How to write it."
)


@click.group()
def report() -> None:
    """Print the privacy notice or the record of processing.

    From the settings, and never with gaps.
    """


@report.command()
@LANGUAGE
@FORM
@click.pass_obj
def notice(context: Context, language: str | None, form: str) -> None:
    """Print the privacy notice, as it stands at /notice.

    GDPR Articles 13 and 14.
    """
    settings = context.settings()
    pages = Pages(site(settings))
    chosen = spoken(language, settings)
    page = pages.render("notice.html", chosen, Statements(pages, disclosure(settings)).notice(chosen))
    _print(page, form)


@report.command()
@LANGUAGE
@FORM
@click.pass_obj
def art30(context: Context, language: str | None, form: str) -> None:
    """Print the record of processing activities.

    GDPR Article 30(1), with a screening for an impact assessment (Article 35).
    """
    settings = context.settings()
    pages = Pages(site(settings))
    chosen = spoken(language, settings)
    statements = Statements(pages, disclosure(settings))
    _print(pages.render("art30.html", chosen, statements.record(chosen, utc_now().date())), form)


def _print(page: str, form: str) -> None:
    click.echo(plain_text(page) if form == "text" else page, nl=form == "html")
