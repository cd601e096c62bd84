"""The command that rewrites one message: stdin to stdout, the outcome on stderr."""

from __future__ import annotations

import sys

import click

from tracker.cli.common import Context, run
from tracker.config import Settings
from tracker.flows.send import Answer
from tracker.model import Envelope
from tracker.service import built, utc_now


@click.command()
@click.option("-r", "--recipient", required=True, metavar="ADDRESS", help="The envelope recipient of this copy.")
@click.option("--single", is_flag=True, help="This copy goes to that recipient alone.")
@click.option("--label", metavar="TEXT", help="What reps see: a campaign's name, a subject line.")
@click.option("--reference", metavar="ID", help="Your own id for the person.")
@click.option("--owner", metavar="LOGIN", help="The rep; default: the From address.")
@click.pass_obj
def rewrite(
    context: Context, recipient: str, single: bool, label: str | None, reference: str | None, owner: str | None
) -> None:
    """Rewrite the message on stdin for one recipient."""
    envelope = Envelope(recipient=recipient, source="cli", single=single, label=label, reference=reference, owner=owner)
    answer = run(_rewrite(context.settings(), envelope, sys.stdin.buffer.read()))
    sys.stdout.buffer.write(answer.message)
    sys.stdout.buffer.flush()
    click.echo(_outcome(answer), err=True)


async def _rewrite(settings: Settings, envelope: Envelope, message: bytes) -> Answer:
    async with built(settings) as parts:
        return await parts.sender.rewrite(envelope, message, utc_now())


def _outcome(answer: Answer) -> str:
    if answer.reason is not None:
        return f"untouched: {answer.reason}"
    left = "".join(f", left {reason}={count}" for reason, count in answer.left.items())
    purposes = ", ".join(sorted(answer.purposes))
    return f"tracked: {purposes}; links {answer.links_tracked}/{answer.links_found}{left}"
