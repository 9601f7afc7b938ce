"""The admin of what the engine works on. Nothing here moves a message: states change through the engine alone."""

from dispatch.admin import audit, broadcasts, connections, dead_letters, messages, routes, suppressions

__all__ = ["audit", "broadcasts", "connections", "dead_letters", "messages", "routes", "suppressions"]
