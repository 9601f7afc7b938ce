"""Why the tests have no server."""


class NoServer(Exception):
    """A server can't be obtained; the text is one line that says how to get one."""
