"""What the tests of the admin share."""

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from django.contrib.auth.models import User


@pytest.fixture
def admin_user(db: None) -> "User":
    """Whom pytest-django's `admin_client` logs in. Without a password: hashing one takes half a second."""
    from django.contrib.auth.models import User

    return User.objects.create_superuser("admin", password=None)
