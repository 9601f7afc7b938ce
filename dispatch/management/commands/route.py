"""`manage.py route explain`: how a message would leave now, by which route and connection, and why by no other."""

from argparse import Namespace
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, CommandParser

from dispatch import numbers, senders
from dispatch.explain import Explanation, Way, explain
from dispatch.models import Route
from dispatch.routes import PRIORITIES, Subject
from dispatch.vocabulary import Channel
from sendmsg.accounts.models import Account
from sendmsg.admin import as_uuid

NOBODY = UUID(int=0)
"""Belongs to no account: only routes of all accounts fit."""


class Command(BaseCommand):
    help = "Explain how a message would leave now: which route fits, each way out, and what stands in its way."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("action", choices=["explain"])
        parser.add_argument("to", help="The recipient, in E.164: +447700900123.")
        parser.add_argument(
            "--account", help="Name or id of the account that sends it; without, one that has no routes."
        )
        parser.add_argument("--channel", choices=Channel.values, default=Channel.SMS.value)
        parser.add_argument("--from", dest="sender", help="Sender; without, the account's own.")
        parser.add_argument("--priority", choices=list(PRIORITIES), default="normal")
        parser.add_argument("--test", action="store_true", help="As with a test key.")

    def handle(self, *args: Any, **options: Any) -> None:
        subject = _subject(Namespace(**options))
        for line in _lines(explain(subject)):
            self.stdout.write(line)


def _subject(asked: Namespace) -> Subject:
    account = _account(asked.account) if asked.account else None
    sender = asked.sender if asked.sender is not None else (account.default_sender if account else "")
    try:
        return Subject(
            account_id=account.id if account else NOBODY,
            test=asked.test,
            channel=asked.channel,
            to=numbers.normalise(asked.to),
            sender=senders.check_sender(sender, asked.channel) if sender else "",
            priority=PRIORITIES[asked.priority],
        )
    except (numbers.InvalidNumber, senders.InvalidSender) as error:
        raise CommandError(error.detail) from None


def _account(text: str) -> Account:
    found, account_id = Account.objects.filter(name=text).first(), as_uuid(text)
    if found is None and account_id is not None:
        found = Account.objects.filter(id=account_id).first()
    if found is None:
        raise CommandError(f'There is no account "{text}": its whole name or its id is needed.')
    return found


def _lines(found: Explanation) -> list[str]:
    lines = [f"route       {found.route or '- (none fits: all connections, by weight)'}"]
    lines += [f"  not       {one.route}: {one.because}" for one in found.skipped]
    off = Route.objects.filter(enabled=False).values_list("name", flat=True)
    lines += [f"  not       {name}: it is switched off" for name in off]
    lines += [_option(way) for way in found.options]
    chosen = found.chosen
    lines.append(
        f"leaves by   {chosen.connection} ({chosen.provider}, {chosen.channel})" if chosen else "leaves by   -"
    )
    lines.append(f"because     {found.reason}")
    return lines


def _option(way: Way) -> str:
    verdict = f"out: {way.obstacle}" if way.obstacle else f"{way.share:.0%}" + (", full" if way.full else "")
    mark = "*" if way.chosen else " "
    return f"{mark} option    tier {way.tier}  {way.connection}  weight {way.weight} x {way.factor:.2f}  {verdict}"
