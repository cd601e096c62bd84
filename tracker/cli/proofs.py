"""The commands on receipts: export a person's proof, check one that somebody shows."""

from __future__ import annotations

import json
from pathlib import Path

import click

from tracker.cli.common import Context, address_given, run
from tracker.config import Settings
from tracker.core.pseudonym import normalise
from tracker.core.receipt import ReceiptKey, is_about, verify
from tracker.keyfile import KeyFile
from tracker.model import BadReceipt
from tracker.parts import built, utc_now

LARGEST = 16 * 2**20
"""Octets of a receipt."""


@click.command()
@click.argument("address", required=False)
@click.option(
    "--public-key", is_flag=True, help="Print the key that receipts are checked with, in PEM, and no receipt."
)
@click.pass_obj
def export(context: Context, address: str | None, public_key: bool) -> None:
    """Print one person's proof, signed: a receipt.

    What they agreed to, refused and withdrew, and the texts. It can be checked offline with the public key
    (deploy/receipts.md says how), and holds no address.
    """
    settings = context.settings()
    if public_key:
        click.echo(ReceiptKey(KeyFile(settings.key_file).load()).public, nl=False)
    else:
        envelope = run(_receipt(settings, address_given(address)))
        click.echo(json.dumps(envelope, indent=2, ensure_ascii=False))


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--subject", is_flag=True, help="Also whether it is about the address on stdin.")
@click.option(
    "--public-key",
    "public",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The key of who issued it, in PEM: needs no installation. Default: our own.",
)
@click.pass_obj
def check(context: Context, file: Path, subject: bool, public: Path | None) -> None:
    """Check that a receipt is genuine.

    With --subject, also that it is about the address on stdin. Exits 1 when it is not.
    """
    address = normalise(address_given(None)) if subject else None
    envelope = _envelope(file)
    if public is not None:
        receipt = verify(envelope, public.read_bytes().decode("ascii", "replace"))
        about = address is None or is_about(receipt, address)
    else:
        key = ReceiptKey(KeyFile(context.settings().key_file).load())
        receipt = verify(envelope, key.public)
        about = address is None or key.is_about(receipt, address)
    if not about:
        why = "only its issuer can tell whom it is about" if about is None else "it is about somebody else"
        raise BadReceipt(why)
    click.echo("genuine, and about that address" if subject else "genuine")


def _envelope(file: Path) -> object:
    with file.open("rb") as stream:
        octets = stream.read(LARGEST + 1)
    try:
        if len(octets) > LARGEST:
            raise BadReceipt("larger than any receipt")
        envelope: object = json.loads(octets, object_pairs_hook=_once_each)
    except (ValueError, RecursionError):
        raise BadReceipt("not JSON, or a name stands in it twice") from None
    return envelope


def _once_each(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """An object of PAIRS; a name that stands there twice could show a reader something else than is signed."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError
    return found


async def _receipt(settings: Settings, address: str) -> dict[str, object]:
    async with built(settings) as parts:
        return await parts.proofs.receipt(address, utc_now())
