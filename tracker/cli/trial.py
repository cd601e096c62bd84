"""The command that mails a tracked sample through the whole way."""

from __future__ import annotations

import secrets
import sys
from pathlib import Path

import click

from tracker.cli.common import Context, run
from tracker.config import Settings
from tracker.doors.asker import ask
from tracker.parts import built, utc_now
from tracker.trial import Trial, Wish


@click.command("try")
@click.argument("address", metavar="ADDRESS")
@click.option("--from", "sender", metavar="ADDRESS", help="The sender; default: `contact` of the settings.")
@click.option("--link", metavar="URL", help="Where the link in it leads; default: the website of the sender's domain.")
@click.option(
    "--record-consent",
    "proof",
    metavar="PROOF",
    help="Record a consent first, with this line as its evidence; for a mailbox of your own.",
)
@click.option(
    "--key",
    "key_file",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="An API key with the scope rewrite, where a login is needed or smtp_listen is not set.",
)
@click.option(
    "--wait", metavar="SECONDS", type=click.IntRange(0, 3_600), default=0, help="Wait for the mail to be opened."
)
@click.pass_obj
def try_out(
    context: Context,
    address: str,
    sender: str | None,
    link: str | None,
    proof: str | None,
    key_file: Path | None,
    wait: int,
) -> None:
    """Mail a tracked sample through the whole way.

    Through smtp_listen, or /v1/rewrite and smtp_next_hop, with `tracker serve` running. Exits 1 when a step fails, or
    when it was to wait and nothing came back.
    """
    key = key_file.read_text(encoding="utf-8").strip() if key_file is not None else None
    wish = Wish(address=address, sender=sender, link=link, proof=proof, key=key, wait=wait)
    if not run(_try(context.settings(), wish)):
        sys.exit(1)


async def _try(settings: Settings, wish: Wish) -> bool:
    async with built(settings) as parts:
        return await Trial(parts, click.echo, utc_now, secrets.token_bytes, ask).run(wish)
