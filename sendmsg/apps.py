from django.apps import AppConfig

from sendmsg import uuids


class SendMSGConfig(AppConfig):
    name = "sendmsg"
    label = "sendmsg"

    def ready(self) -> None:
        from sendmsg import checks  # noqa: F401, PLC0415  registers the system checks, which need loaded apps

        uuids.register()
