from typing import Any

from django.core.management.base import BaseCommand

from webhooks.inbound.receipts import ReceiptsPump


class Command(BaseCommand):
    help = "Apply buffered delivery receipts to their messages, until SIGTERM. Any number may run."

    def handle(self, *args: Any, **options: Any) -> None:
        ReceiptsPump().run()
