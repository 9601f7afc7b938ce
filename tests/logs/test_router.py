"""Two databases, and no way for a log row into the first one."""

from typing import Any

import pytest
from django.apps import apps
from django.core.management import call_command
from django.db import ProgrammingError, connections, models, router, transaction
from django.db.models import Model
from django.utils import timezone
from django_celery_results.models import TaskResult

from dispatch.models import Connection
from sendmsg.accounts.models import Account
from sendmsg.journal.models import JournalEntry
from sendmsg.logs.models import Event
from sendmsg.logs.router import LOGS, LOGS_APPS

pytestmark = pytest.mark.django_db(databases=["default", "logs"])

HERE = [model for model in apps.get_models(include_auto_created=True) if model._meta.app_label not in LOGS_APPS]
THERE = [model for model in apps.get_models(include_auto_created=True) if model._meta.app_label in LOGS_APPS]


def tables(alias: str) -> set[str]:
    return set(connections[alias].introspection.table_names())


def test_there_are_models_on_either_side() -> None:
    assert {Event, TaskResult} <= set(THERE)
    assert {Account, Connection, JournalEntry} <= set(HERE)


@pytest.mark.parametrize("model", THERE, ids=lambda model: model._meta.label)
def test_a_log_is_read_and_written_in_the_logs_database_and_exists_nowhere_else(model: type[Model]) -> None:
    assert (router.db_for_read(model), router.db_for_write(model)) == (LOGS, LOGS)
    assert model._meta.db_table in tables(LOGS)
    assert model._meta.db_table not in tables("default")


@pytest.mark.parametrize("model", HERE, ids=lambda model: model._meta.label)
def test_all_else_is_in_the_default_database_alone(model: type[Model]) -> None:
    assert (router.db_for_read(model), router.db_for_write(model)) == ("default", "default")
    assert model._meta.db_table in tables("default")
    assert model._meta.db_table not in tables(LOGS)


def test_the_logs_database_holds_nothing_else() -> None:
    known = {model._meta.db_table for model in THERE} | {"django_migrations"}

    assert {table for table in tables(LOGS) if not table.startswith("logs_event_")} == known


EVENT = {"id": "0" * 32, "message_id": "0" * 32, "account_id": "0" * 32, "at": timezone.now()}


@pytest.mark.parametrize(
    ("model", "alias", "fields"),
    [(Event, "default", EVENT), (TaskResult, "default", {}), (Account, "logs", {}), (JournalEntry, "logs", {})],
)
def test_writing_to_the_wrong_database_on_purpose_fails(model: type[Model], alias: str, fields: dict[str, Any]) -> None:
    with pytest.raises(ProgrammingError, match="does not exist"), transaction.atomic(using=alias):
        model._default_manager.using(alias).create(**fields)


def test_no_field_relates_the_two() -> None:
    for model in apps.get_models(include_auto_created=True):
        for field in model._meta.get_fields():
            related = field.related_model
            if isinstance(related, type) and issubclass(related, models.Model):
                assert (related._meta.app_label in LOGS_APPS) == (model._meta.app_label in LOGS_APPS), field


def test_objects_of_the_two_can_not_be_related() -> None:
    account, event, result = Account(name="Acme"), Event(), TaskResult()

    assert not router.allow_relation(account, event)
    assert not router.allow_relation(result, account)
    assert router.allow_relation(account, JournalEntry())
    assert router.allow_relation(event, result)


@pytest.mark.parametrize("alias", ["default", "logs"])
def test_every_migration_is_applied_where_it_belongs(alias: str) -> None:
    call_command("migrate", database=alias, check_unapplied=True, verbosity=0)  # exits when one is missing


def test_the_models_have_their_migrations() -> None:
    call_command("makemigrations", check=True, dry_run=True, verbosity=0)  # exits when one is missing
