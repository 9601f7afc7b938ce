"""The project's commands, as typed."""

import io

from django.core.management import call_command


def providers(*arguments: str) -> str:
    """What `manage.py providers` prints."""
    output = io.StringIO()
    call_command("providers", *arguments, stdout=output, stderr=io.StringIO())
    return output.getvalue()
