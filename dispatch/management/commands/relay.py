from typing import Any

from django.core.management.base import BaseCommand

from dispatch.relay import Relay


class Command(BaseCommand):
    help = "Release due messages to the workers, until SIGTERM. Any number may run."

    def handle(self, *args: Any, **options: Any) -> None:
        Relay().run()
