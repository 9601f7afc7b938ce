from typing import Any

from django.core.management.base import BaseCommand

from webhooks.inbound.reconcile import ReconcilePump


class Command(BaseCommand):
    help = (
        "Ask providers after messages without a final receipt, and end the waiting, until SIGTERM. Any number may run."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        ReconcilePump().run()
