"""The command that rewrites one message, stdin to stdout: whatever fails, the message comes out."""

from __future__ import annotations

import sys

import click

from tracker.cli.common import Context, run
from tracker.flows.send import Answer
from tracker.model import Envelope, OwnActor, Reason
from tracker.parts import built, utc_now


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
    """Rewrite the message on stdin for one recipient.

    The message always comes out on stdout, unchanged where it could not be rewritten; the exit status is 0 for every
    outcome, and 1 when an option or the installation is at fault.
    """
    envelope = Envelope(
        recipient=recipient, source=OwnActor.CLI, single=single, label=label, reference=reference, owner=owner
    )
    message = sys.stdin.buffer.read()
    try:
        answer = run(_rewrite(context, envelope, message))
    except Exception:
        _pass_on(Answer(message, Reason.ERROR))  # mail always flows; what went wrong is told by the caller
        raise
    _pass_on(answer)


async def _rewrite(context: Context, envelope: Envelope, message: bytes) -> Answer:
    async with built(context.settings()) as parts:
        return await parts.sender.rewrite(envelope, message, utc_now())


def _pass_on(answer: Answer) -> None:
    sys.stdout.buffer.write(answer.message)
    sys.stdout.buffer.flush()
    click.echo(_outcome(answer), err=True)


def _outcome(answer: Answer) -> str:
    removed = f"; other people's pixels removed: {answer.pixels_removed}" if answer.pixels_removed else ""
    if answer.reason is not None:
        return f"untouched: {answer.reason}{removed}"
    left = "".join(f", left {reason}={count}" for reason, count in answer.left.items())
    purposes = ", ".join(sorted(answer.purposes))
    return f"tracked: {purposes}; links {answer.links_tracked}/{answer.links_found}{left}{removed}"
