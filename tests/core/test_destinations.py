"""Which URLs and addresses are called because a client said so. Cases C04 and C06 are refused in every spelling."""

import contextlib
import ipaddress
import socket
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from requests_hardened.ip_filter import InvalidIPAddress, get_ip_address

from sendmsg.destinations import RefusedURL, check_url, origin, permits
from sendmsg.errors import NotSent
from sendmsg.http import HttpClient, build_session
from tests.faults import FaultServer

PRIVATE_ADDRESSES = [
    *("127.0.0.1", "127.255.255.254", "0.0.0.0", "169.254.169.254", "10.0.0.1", "172.16.0.1", "192.168.1.1"),
    *("100.64.0.1", "192.0.0.8", "192.88.99.1", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255"),
    *("::", "::1", "::ffff:10.0.0.1", "::ffff:127.0.0.1", "::10.0.0.1", "64:ff9b::a00:1", "64:ff9b:1::1"),
    *("2002:a00:1::1", "2001:0:a00:1::1", "3fff::1", "5f00::1", "fc00::1", "fe80::1", "fe80::1%eth0"),
    *("fec0::1", "ff02::1", "2001:db8::1"),
]
PUBLIC_ADDRESSES = ["8.8.8.8", "1.1.1.1", "2606:4700:4700::1111", "::ffff:8.8.8.8"]
ODD_HOSTS = [
    *("2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "127.1", "127.0.1", "0"),
    *("localhost", "localhost.", "LOCALHOST", "a.localhost", "printer.local", "metadata.google.internal", "intranet"),
    *("[::]", "[::1]", "[::ffff:10.0.0.1]", "[64:ff9b::a00:1]", "[fe80::1%25eth0]"),
    *(
        "exa_mple.com",
        "-a.example",
        "a..example",
        "a" * 64 + ".example",
        "１２７.0.0.1",
        "ｅxample.com",
        "bücher.example",
    ),
]
ODD_URLS = [
    *("https://good@evil.example/", "https://good:pass@evil.example/", "https://good\\@evil.example/"),
    *("https://good%5c@evil.example/", "https://evil.example%5c.good.example/", "https://evil.example\\.good.example/"),
    *("file:///etc/passwd", "gopher://evil.example/", "ftp://evil.example/", "//evil.example/", "evil.example"),
    *("https://evil.example:22/", "https://evil.example:25/", "https://evil.example:0/", "https://evil.example:99999/"),
    *(
        "https://evil.example:x/",
        "https:///path",
        "https://",
        "",
        " https://evil.example/",
        "https://evil.example/\r\nX: 1",
    ),
    *("https://evil.example/\x00", "https://evil.example/ü", "https://[::1", "https://evil.example/#part"),
    *("javascript:alert(1)", "https://evil.example/" + "x" * 2048),
]


def refused(url: str) -> str:
    with pytest.raises(RefusedURL) as caught:
        check_url(url)
    return caught.value.code


def client(permitted: Callable[[str], bool]) -> HttpClient:
    return build_session(connect_timeout=5, read_timeout=10, total_timeout=15, pool_size=1, permits=permitted)


class TestURLs:
    @pytest.mark.parametrize("host", [*(one for one in PRIVATE_ADDRESSES if ":" not in one), *ODD_HOSTS])
    def test_a_host_that_is_no_public_name_or_address_is_refused(self, host: str) -> None:
        assert refused(f"https://{host}/hook")

    @pytest.mark.parametrize("address", [one for one in PRIVATE_ADDRESSES if ":" in one and "%" not in one])
    def test_so_is_a_private_address_of_version_6(self, address: str) -> None:
        assert refused(f"https://[{address}]/hook") == "url_private"

    @pytest.mark.parametrize("url", ODD_URLS)
    def test_what_parsers_read_in_two_ways_is_refused(self, url: str) -> None:
        assert refused(url)

    @pytest.mark.parametrize(
        "url",
        [
            *("https://client.example", "https://client.example/", "https://client.example:8443/a/b?c=d&e=%20f"),
            *("https://xn--bcher-kva.example/", "https://8.8.8.8/", "https://[2606:4700:4700::1111]:443/"),
            "HTTPS://Client.Example/",
        ],
    )
    def test_a_public_https_url_is_called(self, url: str) -> None:
        check_url(url)

    def test_http_is_called_only_where_the_operator_allows_it(self, settings: Any) -> None:
        assert refused("http://client.example/") == "url_not_https"

        settings.CALLBACKS_ALLOW_HTTP = True

        check_url("http://client.example:8080/")
        assert refused("http://client.example:6379/") == "url_port"
        assert refused("http://127.0.0.1/") == "url_private"

    def test_private_names_and_any_port_are_called_only_where_the_operator_allows_it(self, settings: Any) -> None:
        settings.CALLBACKS_ALLOW_PRIVATE = True

        for url in ("https://app:9000/", "https://localhost/", "https://10.0.0.1/", "https://[::1]:5000/"):
            check_url(url)
        assert refused("http://app:9000/") == "url_not_https"
        assert refused("https://2130706433/") == "url_host"

    @given(st.text(max_size=40))
    def test_whatever_is_typed_is_called_or_refused_and_never_an_error(self, text: str) -> None:
        for url in (text, f"https://{text}", f"https://client.example{text}"):
            with contextlib.suppress(RefusedURL):
                check_url(url)

    def test_an_origin_is_scheme_host_and_port(self) -> None:
        assert origin("https://Client.example:8443/a?b=c") == "https://client.example:8443"


class TestAddresses:
    @pytest.mark.parametrize("address", PRIVATE_ADDRESSES)
    def test_a_private_address_is_not_connected_to(self, address: str) -> None:
        assert not permits(address)

    @pytest.mark.parametrize("address", PUBLIC_ADDRESSES)
    def test_a_public_one_is(self, address: str) -> None:
        assert permits(address)

    @given(st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)))
    def test_nothing_is_permitted_that_requests_hardened_refuses(self, address: Any) -> None:
        try:
            get_ip_address(str(address), 443, allow_loopback=False)
        except InvalidIPAddress:
            assert not permits(str(address))

    @given(st.integers(0, 2**32 - 1))
    def test_an_address_within_an_address_counts_as_that(self, number: int) -> None:
        inner = ipaddress.IPv4Address(number)

        assert permits(f"::ffff:{inner}") == permits(str(inner))


class TestConnecting:
    @pytest.fixture
    def http(self) -> HttpClient:
        return client(permits)

    @pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "[::ffff:127.0.0.1]"])
    def test_a_private_address_gets_no_connection_whatever_its_name(self, http: HttpClient, host: str) -> None:
        with FaultServer() as server, pytest.raises(NotSent) as caught:
            http.request("POST", server.url.replace("127.0.0.1", host))

        assert caught.value.code == "address_refused"
        assert server.connections == 0

    def test_a_name_that_means_another_address_by_the_time_of_the_call_is_refused(
        self, http: HttpClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """DNS rebinding: what was looked up before says nothing; the address that is connected to is the one judged."""
        with FaultServer() as server:
            port = int(server.url.rpartition(":")[2])
            real = socket.getaddrinfo

            def rebound(host: str, *rest: Any, **named: Any) -> Any:
                return real("127.0.0.1" if host == "client.example" else host, *rest, **named)

            monkeypatch.setattr(socket, "getaddrinfo", rebound)
            check_url("https://client.example/")
            with pytest.raises(NotSent) as caught:
                http.request("POST", f"http://client.example:{port}/")

            assert caught.value.code == "address_refused"
            assert server.connections == 0

    def test_of_several_addresses_only_permitted_ones_are_connected_to(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with FaultServer() as allowed:
            port = int(allowed.url.rpartition(":")[2])
            found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port)) for host in ("127.0.0.2", "127.0.0.1")]
            monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
            asked: list[str] = []

            def only_one(address: str) -> bool:
                asked.append(address)
                return address == "127.0.0.1"

            assert client(only_one).request("GET", f"http://client.example:{port}/").status == 200

        assert asked == ["127.0.0.2", "127.0.0.1"]

    def test_a_proxy_and_a_filter_exclude_each_other(self) -> None:
        with pytest.raises(ValueError, match="proxy"):
            build_session(
                connect_timeout=1, read_timeout=1, total_timeout=1, pool_size=1, trust_env=True, permits=permits
            )
