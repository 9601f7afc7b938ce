"""The registry: every adapter in it can be found, says who it is, and passes the common contract."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pkgutil import iter_modules

import pytest

import tests.dispatch.providers
from dispatch.providers import registry
from dispatch.providers.base import Capabilities, Provider
from sendmsg.errors import UnknownProvider
from tests.dispatch.providers.batch_contract import BatchContract
from tests.dispatch.providers.contract import ProviderContract
from tests.dispatch.providers.find_contract import FindContract
from tests.dispatch.providers.status_contract import StatusContract


@pytest.fixture(autouse=True, scope="module")
def _all_tests() -> None:
    """Imports them, so that their classes are known."""
    for module in iter_modules(tests.dispatch.providers.__path__):
        import_module(f"{tests.dispatch.providers.__name__}.{module.name}")


def contracts(base: type[ProviderContract] = ProviderContract) -> Iterator[type[ProviderContract]]:
    for found in base.__subclasses__():
        yield found
        yield from contracts(found)


def test_every_registered_adapter_passes_the_contract() -> None:
    tested = {found.provider for found in contracts() if found.__name__.startswith("Test")}

    missing = [slug for slug in registry.PROVIDERS if registry.get(slug) not in tested]

    assert not missing, f"no Test… class inherits ProviderContract for: {', '.join(missing)}"


@pytest.mark.parametrize(
    ("able", "contract"),
    [
        (lambda has: has.batch_size > 1, BatchContract),
        (lambda has: has.fetches_status, StatusContract),
        (lambda has: has.finds, FindContract),
    ],
    ids=["batches", "status", "find"],
)
def test_what_an_adapter_claims_is_put_to_the_test(
    able: Callable[[Capabilities], bool], contract: type[ProviderContract]
) -> None:
    claim = {slug for slug in registry.PROVIDERS if able(registry.get(slug).capabilities)}

    assert claim
    assert claim == {found.provider.slug for found in contracts(contract) if found.__name__.startswith("Test")}


@pytest.mark.parametrize("slug", registry.PROVIDERS)
def test_an_adapter_is_found_by_its_own_name(slug: str) -> None:
    found = registry.get(slug)

    assert issubclass(found, Provider)
    assert found.slug == slug


def test_a_name_without_an_adapter_is_a_typed_error() -> None:
    with pytest.raises(UnknownProvider, match=r"carrier-pigeon.*sendmsg") as caught:
        registry.get("carrier-pigeon")

    assert caught.value.code == "unknown_provider"


def test_adapters_are_imported_when_first_used() -> None:
    _run(
        "assert 'dispatch.providers.sendmsg' not in sys.modules",
        "registry.get('sendmsg')",
        "assert 'dispatch.providers.sendmsg' in sys.modules",
    )


@pytest.mark.parametrize("slug", registry.PROVIDERS)
def test_an_adapter_needs_no_django(slug: str) -> None:
    _run(f"registry.get({slug!r})", "assert 'django' not in sys.modules")


def _run(*lines: str) -> None:
    """In a fresh interpreter."""
    script = "\n".join(["import sys", "from dispatch.providers import registry", *lines])
    subprocess.run([sys.executable, "-c", script], check=True)
