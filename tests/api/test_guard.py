"""Everything that knocks at the door, against a small real app."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from tests.api.small import BASE, basic, client, small_app
from webui.api.access import Access

METHODS = ["GET", "POST", "PUT", "DELETE", "PATCH"]


@pytest.fixture
def home() -> TestClient:
    return client(Access.for_flags())


@pytest.fixture
def locked() -> TestClient:
    return client(Access.for_flags(listen=True, auth="ada:pw"))


def answer_of(response: object) -> int:
    return response.status_code  # type: ignore[attr-defined, no-any-return]


def test_at_home_the_owner_just_gets_the_page(home: TestClient) -> None:
    assert home.get("/").text == '"the page of the app"'
    assert home.get("/who").json() == "local"


@pytest.mark.parametrize("host", ["evil.com", "evil.com:7860", "localhost.evil.com", "testserver", "192.168.1.5"])
@pytest.mark.parametrize("path", ["/", "/thing", "/healthz", "/login", "/nothing"])
def test_a_foreign_host_gets_421_everywhere(home: TestClient, host: str, path: str) -> None:
    response = home.get(path, headers={"Host": host})
    assert response.status_code == 421 and "name" in response.json()["detail"]


def test_a_rebound_name_gets_421_although_host_and_origin_agree(home: TestClient) -> None:
    assert answer_of(home.post("/thing", headers={"Host": "evil.com:7860", "Origin": "http://evil.com:7860"})) == 421


FOREIGN = [
    "http://evil.com",
    "https://localhost.evil.com",
    "http://localhost:3000",
    "http://127.0.0.1:7860",
    "null",
    "",
    "http://localhost",
    "file://",
    "ws://localhost:7860",
    "http://localhost:7860@evil.com",
    "http://[",
    "localhost:7860",
]


@pytest.mark.parametrize("origin", FOREIGN)
@pytest.mark.parametrize("method", [*METHODS, "OPTIONS"])
def test_a_foreign_origin_gets_403_by_any_method(home: TestClient, method: str, origin: str) -> None:
    assert answer_of(home.request(method, "/thing", headers={"Origin": origin})) == 403


@pytest.mark.parametrize("content", ["application/json", "text/plain", "multipart/form-data; boundary=x"])
def test_what_another_site_posts_is_never_carried_out(home: TestClient, content: str) -> None:
    for headers in ({"Origin": "http://evil.com"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}):
        response = home.post("/thing", content=b"{}", headers={"Content-Type": content, **headers})
        assert response.status_code == 403 and "bytes" not in response.text


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "headers", [{}, {"Origin": BASE}, {"Origin": BASE, "Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}]
)
def test_own_pages_and_plain_clients_pass(home: TestClient, method: str, headers: dict[str, str]) -> None:
    assert answer_of(home.request(method, "/thing", headers=headers)) == 200


def test_a_link_on_another_site_may_lead_here_but_nothing_may_be_embedded(home: TestClient) -> None:
    visit = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert answer_of(home.get("/", headers=visit)) == 200
    assert answer_of(home.post("/thing", headers=visit)) == 403
    assert answer_of(home.get("/", headers=visit | {"Sec-Fetch-Dest": "iframe"})) == 403
    assert answer_of(home.get("/thing", headers={"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"})) == 403


def test_a_default_port_in_the_origin_is_the_same_site() -> None:
    plain = client(Access.for_flags(), "http://localhost")
    assert answer_of(plain.post("/thing", headers={"Origin": "http://localhost"})) == 200
    assert answer_of(plain.post("/thing", headers={"Origin": "http://localhost:81"})) == 403


def test_every_answer_carries_the_security_headers(home: TestClient, locked: TestClient) -> None:
    for response in (
        home.get("/"),
        home.get("/nothing"),
        home.get("/", headers={"Host": "evil.com"}),
        locked.get("/"),
        locked.get("/thing"),
    ):
        headers = response.headers
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff" and headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "same-origin"
        assert headers["cross-origin-opener-policy"] == headers["cross-origin-resource-policy"] == "same-origin"
        assert len(headers.get_list("content-security-policy")) == 1
        assert "access-control-allow-origin" not in headers


def test_nobody_can_talk_the_app_into_another_address(home: TestClient) -> None:
    headers = {
        "X-Forwarded-Host": "evil.com",
        "X-Forwarded-Proto": "https",
        "Forwarded": "host=evil.com",
        "X-Gradio-Server": "http://evil.com",
    }
    answer = home.get("/thing", headers=headers).json()
    assert "evil.com" not in str(answer) and answer["url"].startswith(BASE)


def test_through_the_share_link_the_app_knows_that_it_is_https() -> None:
    access = Access.for_flags(share=True, auth="ada:pw")
    there = client(access, "http://abc.gradio.live")
    assert answer_of(there.get("/thing", headers=basic("ada", "pw"))) == 421
    access.hosts.add_tunnel("abc.gradio.live")
    answer = there.get("/thing", headers=basic("ada", "pw") | {"Origin": "https://abc.gradio.live"})
    assert answer.status_code == 200 and answer.json()["url"] == "https://abc.gradio.live/thing"
    assert "Secure" in there.post("/login", data={"user": "ada", "password": "pw"}).headers["set-cookie"]


# ---- login


def test_a_stranger_gets_the_login_page_and_nothing_of_the_app(locked: TestClient) -> None:
    response = locked.get("/")
    assert response.status_code == 401 and "<form" in response.text and "the page of the app" not in response.text
    assert "<script" not in response.text and "http" not in response.text and "www-authenticate" not in response.headers
    assert response.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "path", ["/who", "/thing", "/openapi.json", "/nothing", "/gradio_api/info", "/login/x", "/healthz/x", "//", "/?x", "/LOGIN"]
)
def test_a_stranger_gets_401_on_every_other_path(locked: TestClient, path: str) -> None:
    response = locked.get(path)
    assert response.status_code == 401
    if "<form" not in response.text:
        assert response.headers["www-authenticate"].startswith("Basic") and response.json()["error"] == "Unauthorized"


def test_a_browser_is_not_made_to_open_its_own_window(locked: TestClient) -> None:
    response = locked.get("/thing", headers={"Sec-Fetch-Mode": "cors", "Sec-Fetch-Site": "same-origin"})
    assert response.status_code == 401 and "www-authenticate" not in response.headers


def test_whether_the_program_runs_may_be_asked_by_all(locked: TestClient) -> None:
    assert locked.get("/healthz").json() == {"ok": True}


def test_every_route_asks_a_stranger_for_the_login() -> None:
    app = small_app(Access.for_flags(listen=True, auth="ada:pw"))
    stranger = TestClient(app, base_url=BASE)
    paths = [route.path for route in app.routes if hasattr(route, "methods") and route.path not in ("/login", "/healthz")]  # type: ignore[attr-defined]
    assert len(paths) > 4
    for path in paths:
        for method in METHODS:
            assert answer_of(stranger.request(method, path.replace("{rest:path}", "x"))) == 401, path


def test_scripts_log_in_by_http_basic(locked: TestClient) -> None:
    assert locked.get("/who", headers=basic("ada", "pw")).json() == "ada"


BAD = [
    basic("ada", "no"),
    basic("eve", "pw"),
    basic("ada", ""),
    basic("", ""),
    {"Authorization": "Basic"},
    {"Authorization": "Basic ###"},
    {"Authorization": "Basic /////w=="},
    {"Authorization": "Bearer pw"},
    {"Authorization": "pw"},
    {"Cookie": "latent_webui_7860=x"},
]


@pytest.mark.parametrize("headers", BAD)
def test_wrong_credentials_are_no_credentials(locked: TestClient, headers: dict[str, str]) -> None:
    assert answer_of(locked.get("/thing", headers=headers)) == 401


def test_the_sixth_bad_try_in_a_minute_gets_429_even_if_it_were_right(locked: TestClient) -> None:
    for _ in range(5):
        assert answer_of(locked.get("/thing", headers=basic("ada", "no"))) == 401
    response = locked.get("/thing", headers=basic("ada", "pw"))
    assert response.status_code == 429 and 0 < int(response.headers["retry-after"]) <= 60
    assert answer_of(locked.post("/login", data={"user": "ada", "password": "pw"})) == 429
    assert answer_of(locked.get("/thing")) == 401


def test_form_and_basic_count_together_and_a_session_is_not_locked_out(locked: TestClient) -> None:
    locked.post("/login", data={"user": "ada", "password": "pw"})
    for _ in range(6):
        locked.post("/login", data={"user": "ada", "password": "no"})
    assert locked.get("/who").json() == "ada"
    locked.cookies.clear()
    assert answer_of(locked.get("/who", headers=basic("ada", "pw"))) == 429


def test_logging_in_by_the_form_opens_the_page_and_logging_out_closes_it(locked: TestClient) -> None:
    response = locked.post("/login", data={"user": "ada", "password": "pw"}, headers={"Origin": BASE})
    assert response.status_code == 303 and response.headers["location"] == "/"
    cookie = response.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=strict" in cookie and "Secure" not in cookie and "Path=/" in cookie
    assert locked.get("/who").json() == "ada" and answer_of(locked.get("/login")) == 303
    stolen = dict(locked.cookies)
    assert answer_of(locked.post("/logout")) == 303
    locked.cookies.clear()
    assert (
        answer_of(locked.get("/who", headers={"Cookie": "; ".join(f"{name}={value}" for name, value in stolen.items())})) == 401
    )


def test_a_wrong_password_says_so_on_the_page_without_naming_which(locked: TestClient) -> None:
    wrong = [locked.post("/login", data={"user": user, "password": "no"}) for user in ("ada", "<b>eve")]
    assert [response.status_code for response in wrong] == [401, 401] and wrong[0].text == wrong[1].text
    assert "do not fit together" in wrong[0].text and "set-cookie" not in wrong[0].headers
    assert answer_of(locked.post("/login", content=b"")) == 401
    assert answer_of(locked.post("/login", content=b"user=" + b"a" * 10_000)) == 413


def test_another_site_cannot_log_a_browser_in(locked: TestClient) -> None:
    assert answer_of(locked.post("/login", data={"user": "ada", "password": "pw"}, headers={"Origin": "http://evil.com"})) == 403


def test_a_session_that_the_client_brings_along_is_not_taken_over(locked: TestClient) -> None:
    response = locked.post("/login", data={"user": "ada", "password": "pw"}, headers={"Cookie": "latent_webui_7860=planted"})
    assert "planted" not in response.headers["set-cookie"]
    locked.cookies.clear()
    assert answer_of(locked.get("/who", headers={"Cookie": "latent_webui_7860=planted"})) == 401


def test_with_a_cookie_the_origin_still_counts(locked: TestClient) -> None:
    locked.post("/login", data={"user": "ada", "password": "pw"})
    assert answer_of(locked.post("/thing")) == 200
    assert answer_of(locked.post("/thing", headers={"Origin": "http://evil.com"})) == 403


# ---- sockets


def refused(stranger: TestClient, headers: dict[str, str]) -> int:
    with (
        pytest.raises(WebSocketDisconnect) as caught,
        stranger.websocket_connect("/socket", headers={"Host": "localhost:7860", **headers}),
    ):
        raise AssertionError("the socket was opened")
    return caught.value.code


def test_sockets_open_for_the_own_page_only(home: TestClient) -> None:
    with home.websocket_connect("/socket", headers={"Host": "localhost:7860", "Origin": BASE}) as socket:
        assert socket.receive_text() == "hello"
    for headers in ({"Origin": "http://evil.com"}, {"Origin": "null"}, {"Host": "evil.com"}, {"Sec-Fetch-Site": "cross-site"}):
        assert refused(home, headers) == 4403


def test_sockets_need_the_login_and_close_after_logout(locked: TestClient) -> None:
    assert refused(locked, {}) == 4403
    token = locked.post("/login", data={"user": "ada", "password": "pw"}).cookies["latent_webui_7860"]
    cookie = {"Cookie": f"latent_webui_7860={token}"}
    with locked.websocket_connect("/socket", headers={"Host": "localhost:7860", **cookie}) as socket:
        assert socket.receive_text() == "hello"
    locked.post("/logout")
    locked.cookies.clear()
    assert refused(locked, cookie) == 4403


# ---- paths and bodies

BLOCKED = [
    "file=http://127.0.0.1/x.png",
    "file=https://example.com/x.png",
    "file=HTTP://e.com/x.png",
    "file=http%3A%2F%2Fe.com%2Fx.png",
    "file=http%253A%252F%252Fe.com/x.png",
    "file=//server/share/x.png",
    "file=/data/.env",
    "file=/data/.hidden.png",
    "file=/data/settings.json",
    "file=/data/cache.sqlite",
    "file=/data/webui.log",
    "file=/out/page.html",
    "file=/out/drawing.svg",
    "file=/out/PAGE.HTML",
    "file=/etc/passwd",
    "file=C:%5Cdata%5C.secret.png",
    "file=/x.png%00.html",
    "file=/data/model.safetensors",
    "file/data/settings.json",
    "proxy=http://e.com",
    "deep_link",
    "deep_link?x=1",
    "startup-events",
    "process_recording",
    "vibe-edit",
    "run-history/records",
]


@pytest.mark.parametrize("path", BLOCKED)
def test_gradio_offers_no_file_or_address_that_is_not_a_picture_of_here(home: TestClient, path: str) -> None:
    assert answer_of(home.get("/gradio_api/" + path)) == 404


@pytest.mark.parametrize(
    "path", ["file=/home/u/.local/out/0001.png", "file=C:/out/a.JPG", "info", "queue/data", "upload_progress", "heartbeat/x"]
)
def test_pictures_and_the_rest_of_gradio_pass(home: TestClient, path: str) -> None:
    assert answer_of(home.get("/gradio_api/" + path)) == 200


def test_a_body_over_the_limit_gets_413_whether_it_says_its_length_or_not() -> None:
    small = TestClient(small_app(Access.for_flags(), body_bytes_at_most=1000), base_url=BASE)
    seen = 0

    def pieces() -> Iterator[bytes]:
        nonlocal seen
        for _ in range(100):
            seen += 1
            yield b"x" * 100

    assert small.post("/thing", content=b"x" * 1000).json()["bytes"] == 1000
    for content in (b"x" * 1001, pieces()):
        response = small.post("/thing", content=content)
        assert response.status_code == 413 and response.json()["error"] == "ContentTooLarge"
    assert answer_of(small.post("/thing", content=b"", headers={"Content-Length": "-5"})) == 413
