from django.apps import AppConfig


class LogsConfig(AppConfig):
    name = "sendmsg.logs"
    label = "logs"
