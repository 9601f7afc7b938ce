"""The rows that dispatch stands on, a file for each kind."""

from dispatch.models.announcements import Announcement, Listener
from dispatch.models.broadcasts import Broadcast, BroadcastDraft
from dispatch.models.connections import BASE_URL, CONNECTION_NAME, Connection, ConnectionEvent
from dispatch.models.dead_letters import DeadLetter
from dispatch.models.erasures import Erasure
from dispatch.models.messages import Attempt, Message, ProviderReference
from dispatch.models.minutes import Minute
from dispatch.models.routes import Route, RouteStep
from dispatch.models.servings import Serving
from dispatch.models.suppressions import Suppression, WhatsAppWindow

__all__ = [
    "BASE_URL",
    "CONNECTION_NAME",
    "Announcement",
    "Attempt",
    "Broadcast",
    "BroadcastDraft",
    "Connection",
    "ConnectionEvent",
    "DeadLetter",
    "Erasure",
    "Listener",
    "Message",
    "Minute",
    "ProviderReference",
    "Route",
    "RouteStep",
    "Serving",
    "Suppression",
    "WhatsAppWindow",
]
