"""The pictures of the admin in the docs, taken of the running gateway: light and dark, at a desk and on a telephone.

    make pictures                  every process on servers of its own; about two minutes

An hour of traffic is written straight into the database; what is seen of single messages is real.
"""

import sys
from pathlib import Path
from typing import Final

from selenium.webdriver import Chrome

from tests.drills.failover import running_stack
from tests.servers import browser
from tests.stack.stack import Stack
from tests.stack.test_admin import STAFF, log_in, run
from tests.waiting import eventually

FOLDER: Final = Path(__file__).resolve().parent.parent.parent / "docs/pictures"
LARGEST: Final = 150_000  # bytes of a picture; the docs are read on telephones too
DESK: Final = (1280, 860)
SMALLER: Final = {"width": 1280, "height": 600, "mobile": False}  # a list says the same with fewer rows
PHONE: Final = (390, 844)
HOUR: Final = """
import random
from datetime import timedelta
from uuid import UUID
from django.utils import timezone
from dispatch.models import Attempt, Connection, DeadLetter, Message
from dispatch.states import State
from sendmsg.accounts.models import Account
from sendmsg.ids import first_id
chance = random.Random(7)
account = Account.objects.get(name="Demo")
names = {"sendmsg": 60, "twilio-eu": 30, "vonage": 10}
lines = [Connection.objects.get(name=name) for name in names]
ends = {State.DELIVERED: 950, State.UNDELIVERED: 25, State.FAILED: 12, State.UNKNOWN: 4, State.SENT: 9}
codes = {State.UNDELIVERED: ["absent_subscriber", "absent_subscriber", "handset_full"],
         State.FAILED: ["invalid_recipient", "unauthorized", "number_barred"], State.UNKNOWN: ["timeout"]}
messages, attempts, letters = [], [], []
for second in range(0, 3900):
    for _ in range(chance.choice((0, 1, 1, 2))):
        at = timezone.now() - timedelta(seconds=3900 - second)
        state = chance.choices(list(ends), list(ends.values()))[0]
        line = chance.choices(lines, list(names.values()))[0]
        taken = at + timedelta(seconds=0.06 + chance.lognormvariate(-2, 0.8))
        code = chance.choice(codes.get(state, [""]))
        message = Message(
            id=UUID(int=first_id(at).int | chance.getrandbits(62)), account=account, channel="sms", lane=1,
            to=f"+4477009{chance.randrange(100000):05d}", sender="Acme", body="Your code is 123456.", segments=1,
            encoding="gsm7", state=state, connection=line, tries=1, release=1, error_code=code, due_at=at,
            expires_at=at + timedelta(days=1), created_at=at, updated_at=taken + timedelta(seconds=2),
        )
        messages.append(message)
        outcome = {State.FAILED: "rejected", State.UNKNOWN: "unknown"}.get(state, "accepted")
        attempts.append(Attempt(message=message, number=1, connection=line, started_at=at, finished_at=taken,
                                outcome=outcome, code=code if outcome != "accepted" else ""))
        if outcome != "accepted":
            letters.append(DeadLetter(message=message, account=account, connection=line, reason=code))
Message.objects.bulk_create(messages, 1000)
Attempt.objects.bulk_create(attempts, 1000)
DeadLetter.objects.bulk_create(letters)
"""


def prepare(stack: Stack) -> tuple[str, str]:
    """Staff, connections, an hour of traffic; the ids of a message that took three tries, and of one that failed."""
    stack.run(STAFF)
    for name, weight in (("twilio-eu", 30), ("vonage", 10)):
        stack.connect(name, stack.sandbox_url, sandbox=False, weight=weight)
    stack.run(HOUR)
    stack.sql("UPDATE dispatch_minute SET counted_at = NULL, again_at = at")  # some were counted before there was any
    tried = stack.send("+447700900907", body="Your table is booked for eight.", client_reference="table-7")
    failed = stack.send("+447700900905", client_reference="table-8")
    stack.finished(tried, seconds=60)
    stack.finished(failed, seconds=60)
    stack.logged([tried], ["delivered"])
    return tried, failed


def take(chrome: Chrome, stack: Stack, name: str, path: str) -> None:
    chrome.get(stack.url + path)
    eventually(lambda: run(chrome, "return document.readyState === 'complete'"), f"{path} is there")
    picture = FOLDER / f"{name}.png"
    chrome.save_screenshot(str(picture))
    size = picture.stat().st_size
    print(f"{picture.relative_to(FOLDER.parent.parent)}  {size / 1000:.0f} kB", flush=True)
    if size > LARGEST:
        sys.exit(f"{picture} is larger than {LARGEST} bytes")


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    print("starting PostgreSQL, Valkey, RabbitMQ and every process", flush=True)
    with running_stack() as stack:
        tried, failed = prepare(stack)
        counted = "SELECT count(*) FROM dispatch_minute WHERE counted_at IS NOT NULL AND at > now() - interval '65 min'"
        eventually(lambda: stack.sql(counted)[0][0] >= 65, "the hour is counted", 120)
        with browser.opened(*DESK) as chrome:
            log_in(chrome, stack, "admin")
            take(chrome, stack, "home-light", "/admin/")
            take(chrome, stack, "message-light", f"/admin/dispatch/message/{tried}/change/")
        with browser.opened(*DESK, dark=True) as chrome:
            log_in(chrome, stack, "operator")
            take(chrome, stack, "home-dark", "/admin/")
            chrome.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {**SMALLER, "deviceScaleFactor": 1})
            take(chrome, stack, "failed-dark", "/admin/dispatch/deadletter/?state__exact=open")
        with browser.opened(*PHONE) as chrome:
            log_in(chrome, stack, "operator")
            take(chrome, stack, "home-phone", "/admin/")
            take(chrome, stack, "message-phone", f"/admin/dispatch/message/{failed}/change/")


if __name__ == "__main__":
    main()
