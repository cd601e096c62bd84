"""The command line: each command builds the parts, calls one flow and prints what came of it."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import click

from tracker.cli.audit import audit
from tracker.cli.common import Context, explain
from tracker.cli.consent_import import import_list
from tracker.cli.consents import consent, grant, invite, show, withdraw
from tracker.cli.forgotten import prove_forgotten
from tracker.cli.keys import key, secret
from tracker.cli.ledger import expiring, head, verify
from tracker.cli.links import link
from tracker.cli.mail import rewrite
from tracker.cli.move import migrate_store, upgrade
from tracker.cli.notices import notice
from tracker.cli.proofs import check, export
from tracker.cli.reports import report
from tracker.cli.restore import backup, restore_check
from tracker.cli.run import demo, serve, sweep
from tracker.cli.sections import Sections
from tracker.cli.setup import doctor, init
from tracker.cli.subjects import subject
from tracker.cli.trial import try_out
from tracker.cli.users import user
from tracker.logs import configure
from tracker.model import TrackerError


@click.group(cls=Sections, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--config",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The settings file; default: TRACKER_CONFIG, or tracker.toml in this folder.",
)
@click.version_option(package_name="consent-tracker")
@click.pass_context
def tracker(context: click.Context, config: Path | None) -> None:
    """A tracking proxy for outgoing e-mail that asks first, keeps little and forgets on time."""
    context.obj = Context(config)


tracker.section("Begin", demo, init, key, serve, doctor, try_out)
tracker.section("Mail", audit, rewrite)
tracker.section("Consent", consent, notice)
tracker.section("People", subject, prove_forgotten, report, user)
tracker.section("Upkeep", sweep, backup, restore_check, secret, link, upgrade, migrate_store)
consent.section("One person", grant, withdraw, show, invite, export)
consent.section("Many", import_list, expiring)
consent.section("Proof", check, head, verify)


def main() -> None:
    """Run the command; an error of ours is explained, any other is logged without what it holds. Exits 1 for both."""
    configure(sys.stderr)
    try:
        tracker(prog_name="tracker")
    except TrackerError as error:
        explain(error)
        sys.exit(1)
    except Exception:
        logging.getLogger(__name__).exception("the command failed")
        click.echo("The command failed because of a fault in this program; nothing more was done.", err=True)
        sys.exit(1)
