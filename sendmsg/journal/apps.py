from django.apps import AppConfig


class JournalConfig(AppConfig):
    name = "sendmsg.journal"
    label = "journal"
