"""Django app `accounts`, in the default database."""

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    """Accounts and API keys."""

    name = "sendmsg.accounts"
    label = "accounts"
    verbose_name = "Accounts"
