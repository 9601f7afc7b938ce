import os
from typing import Any

import structlog
from django.core.management.base import BaseCommand

from webhooks.durability import shortcomings
from webhooks.inbound.receipts import ReceiptsPump

logger = structlog.stdlib.get_logger(__name__)

NICENESS = 10
"""Gives way to a web process on the same cores: a provider waits for its answer, and for nothing that comes after."""


class Command(BaseCommand):
    help = "Apply buffered delivery receipts to their messages, until SIGTERM. Any number may run."

    def handle(self, *args: Any, **options: Any) -> None:
        os.nice(NICENESS)
        for name, value in shortcomings():
            logger.warning("redis may lose acknowledged webhooks", setting=name, value=value)
        ReceiptsPump().run()
