from django.apps import AppConfig


class SealingConfig(AppConfig):
    name = "sendmsg.sealing"
    label = "sealing"
