from typing import Any

from django.core.management.base import BaseCommand

from sendmsg.telemetry.measuring import Measuring


class Command(BaseCommand):
    help = "Measure queues, ages and lags for /metrics every few seconds, until SIGTERM. One is enough."

    def handle(self, *args: Any, **options: Any) -> None:
        Measuring().run()
