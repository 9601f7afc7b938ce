from django.apps import AppConfig


class SendMSGConfig(AppConfig):
    name = "sendmsg"
    label = "sendmsg"

    def ready(self) -> None:
        from sendmsg import checks, uuids  # noqa: F401, PLC0415  registers the system checks, which need loaded apps

        uuids.register()
