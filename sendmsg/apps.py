from django.apps import AppConfig


class SendMSGConfig(AppConfig):
    name = "sendmsg"
    label = "sendmsg"

    def ready(self) -> None:
        from sendmsg import checks  # noqa: F401  registers the system checks
