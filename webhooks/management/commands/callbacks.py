from typing import Any

from django.core.management.base import BaseCommand

from webhooks.callbacks.pump import CallbacksPump


class Command(BaseCommand):
    help = "Tell clients' programs what happened, by signed callbacks, until SIGTERM. Any number may run."

    def handle(self, *args: Any, **options: Any) -> None:
        CallbacksPump().run()
