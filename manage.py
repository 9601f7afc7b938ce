#!/usr/bin/env python
"""Django's command line for SendMSG."""

import os
import sys


def main() -> None:
    if sys.argv[1:2] == ["quickstart"]:
        # It starts the very servers that the settings name, so it runs before there are settings.
        from sendmsg.embedded.quickstart import main as quickstart  # noqa: PLC0415

        sys.exit(quickstart(sys.argv[2:]))
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "sendmsg.settings")
    from django.core.management import execute_from_command_line  # noqa: PLC0415

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
