"""Credentials at rest: Postgres never sees them, and a key can be changed without losing any."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.db import connection
from hypothesis import given
from hypothesis import strategies as st

from dispatch.models import Connection
from sendmsg import encryption
from sendmsg.encryption import decrypt, encrypt
from sendmsg.errors import ConfigurationError
from tests.factories import make_connection

OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()
SECRET = "p1anted-s3cret"


@pytest.fixture
def use(settings: Any) -> Iterator[Callable[..., None]]:
    """Sets CREDENTIALS_KEYS."""

    def keys(*given: str) -> None:
        settings.CREDENTIALS_KEYS = list(given)
        encryption._fernet.cache_clear()

    yield keys
    encryption._fernet.cache_clear()


_LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()


@given(st.recursive(_LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=5))
def test_any_json_value_comes_back(value: Any) -> None:
    assert decrypt(encrypt(value)) == value


def test_the_same_value_never_looks_the_same() -> None:
    assert encrypt(SECRET) != encrypt(SECRET)


@pytest.mark.django_db
def test_the_database_sees_nothing_of_it() -> None:
    row = make_connection(credentials={"api_key": SECRET})

    with connection.cursor() as cursor:
        cursor.execute("SELECT row_to_json(c)::text FROM dispatch_connection c")
        (raw,) = cursor.fetchone() or ("",)
    assert SECRET not in raw
    assert "api_key" not in raw
    assert Connection.objects.get(pk=row.pk).credentials == {"api_key": SECRET}


def test_a_new_key_in_front_reads_what_the_old_one_wrote(use: Callable[..., None]) -> None:
    use(OLD)
    token = encrypt(SECRET)

    use(NEW, OLD)

    assert decrypt(token) == SECRET


def test_what_is_written_needs_the_first_key_alone(use: Callable[..., None]) -> None:
    use(NEW, OLD)
    token = encrypt(SECRET)

    use(NEW)

    assert decrypt(token) == SECRET


@pytest.mark.django_db
def test_saving_a_row_again_brings_it_to_the_new_key(use: Callable[..., None]) -> None:
    use(OLD)
    make_connection(credentials={"api_key": SECRET})
    use(NEW, OLD)

    Connection.objects.get().save()

    use(NEW)
    assert Connection.objects.get().credentials == {"api_key": SECRET}


def test_without_the_key_it_says_which_setting_to_look_at(use: Callable[..., None]) -> None:
    use(OLD)
    token = encrypt(SECRET)
    use(NEW)

    with pytest.raises(ConfigurationError, match="CREDENTIALS_KEYS") as caught:
        decrypt(token)

    assert token not in str(caught.value)


@pytest.mark.parametrize("change", [lambda token: token[:-1], lambda token: "x" + token, lambda _: "", lambda _: "é"])
def test_what_was_changed_at_rest_is_not_believed(change: Callable[[str], str]) -> None:
    with pytest.raises(ConfigurationError):
        decrypt(change(encrypt(SECRET)))


def test_a_new_secret_key_loses_no_credentials(settings: Any) -> None:
    token = encrypt(SECRET)
    encryption._fernet.cache_clear()
    settings.SECRET_KEY = "another-secret-key-of-fifty-characters-and-more-012345"

    assert decrypt(token) == SECRET
