"""Flags to rules, passwords, sessions, names."""

from __future__ import annotations

import pytest

from webui.api import access as access_module
from webui.api.access import Access, Hosts, Sessions, Tries, Users, client_of
from webui.contract.errors import StartError


def test_at_home_nobody_is_asked_for_a_login() -> None:
    access = Access.for_flags()
    assert not access.needs_login and not access.is_exposed and access.made_up is None and not access.is_read_only


@pytest.mark.parametrize(
    "flags", [{"listen": True}, {"share": True}, {"server_name": "192.168.1.5"}, {"server_name": "studio.example"}]
)
def test_whoever_opens_the_page_to_others_gets_a_login_made_up(flags: dict[str, object]) -> None:
    access = Access.for_flags(**flags)  # type: ignore[arg-type]
    assert access.made_up is not None and access.users is not None and access.is_exposed
    assert access.users.check(*access.made_up) == "webui"
    assert Access.for_flags(**flags).made_up != access.made_up  # type: ignore[arg-type]
    assert access.made_up[1] not in repr(access)


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "::1", "[::1]", "", None])
def test_loopback_as_server_name_stays_at_home(name: str | None) -> None:
    assert not Access.for_flags(server_name=name).is_exposed


def test_a_given_login_is_used_as_it_is_and_several_fit_in_one_flag() -> None:
    access = Access.for_flags(listen=True, auth="ada:open:sesame, grace:hopper")
    assert access.users is not None and access.made_up is None
    assert access.users.check("ada", "open:sesame") == "ada"
    assert access.users.check("grace", "hopper") == "grace"
    assert access.users.check("ada", "hopper") is None
    assert access.users.check("nobody", "hopper") is None
    assert access.users.check("", "") is None


def test_a_login_at_home_is_honoured_too() -> None:
    assert Access.for_flags(auth="ada:pw").needs_login


@pytest.mark.parametrize("auth", ["ada", "ada:", ":pw", "ada:a,b", "ada:pw,", "ada:pw,ada:other"])
def test_a_malformed_login_is_one_sentence_before_the_start(auth: str) -> None:
    with pytest.raises(StartError, match="--auth") as caught:
        Access.for_flags(auth=auth)
    assert "pw" not in str(caught.value)


def test_going_without_a_login_must_be_said_and_makes_the_page_read_only() -> None:
    access = Access.for_flags(listen=True, no_login=True)
    assert not access.needs_login and access.is_read_only
    assert not Access.for_flags(no_login=True).is_read_only
    with pytest.raises(StartError):
        Access.for_flags(no_login=True, auth="a:b")


def test_passwords_do_not_lie_about_in_memory_dumps() -> None:
    users = Users({"ada": "correct horse"})
    assert "horse" not in repr(vars(users)) and "horse" not in repr(Access.for_flags(auth="ada:correct horse"))


def test_a_session_ends_by_time_and_by_logout() -> None:
    now = [0.0]
    sessions = Sessions(clock=lambda: now[0])
    first, second = sessions.open("ada"), sessions.open("ada")
    assert first != second and sessions.user(first) == "ada" and sessions.user("made up") is None and sessions.user("") is None
    sessions.close(first)
    assert sessions.user(first) is None and sessions.user(second) == "ada"
    now[0] = access_module.SESSION_SECONDS + 1
    assert sessions.user(second) is None


def test_sessions_do_not_grow_without_end() -> None:
    sessions = Sessions()
    tokens = [sessions.open("ada") for _ in range(access_module.SESSIONS_AT_MOST + 5)]
    assert sessions.user(tokens[0]) is None and sessions.user(tokens[-1]) == "ada"


def test_after_five_bad_tries_a_client_waits_a_minute_and_others_do_not() -> None:
    now = [0.0]
    tries = Tries(clock=lambda: now[0])
    for _ in range(5):
        assert tries.seconds_to_wait("1.2.3.4") == 0
        tries.add("1.2.3.4")
    assert 0 < tries.seconds_to_wait("1.2.3.4") <= 60
    assert tries.seconds_to_wait("1.2.3.5") == 0
    now[0] = 61
    assert tries.seconds_to_wait("1.2.3.4") == 0


def test_the_table_of_bad_tries_is_bounded() -> None:
    tries = Tries()
    for number in range(access_module.CLIENTS_AT_MOST + 10):
        tries.add(str(number))
    assert len(tries._bad) == access_module.CLIENTS_AT_MOST


def test_an_ipv6_client_is_its_network_and_the_tunnel_is_one_client() -> None:
    assert client_of("2001:db8::1", False) == client_of("2001:db8::ffff:2", False) != client_of("2001:db8:0:1::1", False)
    assert client_of("127.0.0.1", True) != client_of("127.0.0.1", False)
    assert client_of("testclient", False) == "testclient"


@pytest.mark.parametrize("header", ["localhost", "localhost:7860", "LOCALHOST:80", "127.0.0.1:7860", "[::1]:7860", "[::1]"])
def test_at_home_the_usual_names_are_fine(header: str) -> None:
    assert Access.for_flags().hosts.allows(header)


STRANGE = [
    "evil.com",
    "evil.com:7860",
    "localhost.evil.com",
    "localhost@evil.com",
    "localhost:7860@evil.com",
    "localhost:evil.com",
    "",
    ":7860",
    "localhost:",
    "localhost:99999999",
    "local host",
    "localhost/",
    "testserver",
    "0.0.0.0",
    "192.168.1.5",
    "127.0.0.1.nip.io",
    "[::1",
    "::1",
    "[::2]",
    "localhost\0",
    "localhost.",
    "ＬＯＣＡＬＨＯＳＴ",
]


@pytest.mark.parametrize("header", STRANGE)
def test_at_home_any_other_name_is_foreign(header: str) -> None:
    assert not Access.for_flags().hosts.allows(header)


def test_with_listen_addresses_and_own_names_are_fine_but_foreign_names_are_not() -> None:
    hosts = Access.for_flags(listen=True).hosts
    assert hosts.allows("192.168.1.5:7860") and hosts.allows("[fe80::1]:7860") and hosts.allows("localhost")
    assert not hosts.allows("evil.com") and not hosts.allows("192.168.1.5.evil.com")
    assert Access.for_flags(server_name="studio.example").hosts.allows("Studio.Example:7860")
    assert Access.for_flags(hosts=["proxy.example"]).hosts.allows("proxy.example")


def test_a_share_host_comes_and_goes() -> None:
    hosts = Hosts(["localhost"])
    assert not hosts.allows("abc.gradio.live") and not hosts.is_tunnel("localhost")
    hosts.add_tunnel("abc.gradio.live")
    assert hosts.allows("abc.gradio.live") and hosts.is_tunnel("ABC.gradio.live:443")
    hosts.remove_tunnel("abc.gradio.live")
    assert not hosts.allows("abc.gradio.live")
