from typing import Any

from django.core.management.base import BaseCommand

from dispatch.dead_letters import DeadLetterPump


class Command(BaseCommand):
    help = "Store dead tasks from the broker's dead queue, until SIGTERM. RabbitMQ only."

    def handle(self, *args: Any, **options: Any) -> None:
        DeadLetterPump().run()
