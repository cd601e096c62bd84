"""The commands on API keys and on signing keys."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime

import click

from tracker.cli.common import Context, run
from tracker.config import Settings
from tracker.core.calendar import date_of, day_of
from tracker.keyfile import KeyFile
from tracker.model import ApiKey, Scope
from tracker.parts import built, utc_now
from tracker.store.reported import Ended
from tracker.store.store import Store


@click.group()
def key() -> None:
    """Make, list and revoke API keys."""


@key.command()
@click.argument("name")
@click.option(
    "--scope", "scopes", type=click.Choice([scope.value for scope in Scope]), multiple=True, required=True,
    help="What the key may do; may be given several times.",
)  # fmt: skip
@click.option("--owner", metavar="REP", help="The key speaks for this rep alone.")
@click.pass_obj
def create(context: Context, name: str, scopes: tuple[str, ...], owner: str | None) -> None:
    """Make a key and print it, once, alone on stdout."""
    click.echo(run(_create(context.settings(), name, frozenset(map(Scope, scopes)), owner)))


@key.command("list")
@click.pass_obj
def list_keys(context: Context) -> None:
    """List all keys; the keys themselves are not kept."""
    for one in run(_all(context.settings())):
        state = "live" if one.revoked_day is None else f"revoked {date_of(one.revoked_day)}"
        owner = f" for {one.owner}" if one.owner else ""
        click.echo(f"{one.name}: {', '.join(sorted(one.scopes))}{owner}; made {date_of(one.created_day)}; {state}")


@key.command()
@click.argument("name")
@click.option(
    "--grants-since",
    type=click.DateTime(["%Y-%m-%d"]),
    metavar="DATE",
    help="Also end every consent that the key reported from this day on (UTC), and delete what was measured.",
)
@click.pass_obj
def revoke(context: Context, name: str, grants_since: datetime | None) -> None:
    """Let a key open nothing any more."""
    since = grants_since and grants_since.replace(tzinfo=UTC)
    ended = run(_revoke(context.settings(), name, since))
    click.echo("revoked")
    if ended is not None:
        click.echo(f"ended {ended.grants} grants and {ended.pending} pending ones, of {ended.people} people")


@click.group()
def secret() -> None:
    """Rotate, retire and wrap the keys in the key file."""


@secret.command()
@click.pass_obj
def rotate(context: Context) -> None:
    """Add a signing key that signs in an hour.

    Older ones go on verifying: links made before stay valid.
    """
    made = KeyFile(context.settings().key_file).rotate(utc_now(), secrets.token_bytes)
    click.echo(f"key {made.id} signs from {made.signs_from.isoformat()}; links made before stay valid")


@secret.command()
@click.argument("key_id", metavar="ID")
@click.pass_obj
def retire(context: Context, key_id: str) -> None:
    """Believe a leaked signing key no more.

    Its links show where they lead and ask; its stop links still stop.
    """
    if not KeyFile(context.settings().key_file).retire(key_id, utc_now()):
        click.echo("retired before; nothing was written")
        return
    click.echo(f"retired {key_id}; running servers know within a minute")


@secret.command()
@click.pass_obj
def rekey(context: Context) -> None:
    """Wrap the pseudonym key with a new one.

    Whoever has the old one finds nobody any more, and no link changes.
    """
    settings = context.settings()
    if run(_rekey(settings)):
        click.echo("every pseudonym is wrapped with a new key; running servers know within a minute")
    else:
        click.echo("a rekey that was interrupted before is finished now; for another one run this again")
    click.echo("Keep a copy of the new key file where you keep keys; with the old one the database does not open.")


async def _rekey(settings: Settings) -> bool:
    """Whether a key was made; False when one that was made before only had to reach the database."""
    file = KeyFile(settings.key_file)
    ring = file.load()
    store = await Store.open(
        settings.database_url,
        ledger_key=ring.ledger_key,
        fingerprint=ring.fingerprint,
        former=ring.former,
    )
    try:
        fresh = not store.was_rekeyed
        if fresh:
            ring = file.wrap(secrets.token_bytes)
            await store.use_keys(ring.fingerprint, ring.former)
        await store.vacuum()  # no page keeps an old pseudonym
        return fresh
    finally:
        await store.close()


async def _create(settings: Settings, name: str, scopes: frozenset[Scope], owner: str | None) -> str:
    async with built(settings) as parts:
        return await parts.access.create(name, scopes, owner, day_of(utc_now()), secrets.token_urlsafe)


async def _all(settings: Settings) -> tuple[ApiKey, ...]:
    async with built(settings) as parts:
        return await parts.access.all()


async def _revoke(settings: Settings, name: str, grants_since: datetime | None) -> Ended | None:
    async with built(settings) as parts:
        now = utc_now()
        await parts.access.revoke(name, day_of(now))
        if grants_since is None:
            return None
        return await parts.access.end_reported(name, grants_since, now, settings.proof_days)
