"""The local page: who may ask, what wrong questions get, how it starts and stops."""

import json
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from http.client import HTTPConnection
from threading import Thread
from urllib.parse import urlencode, urlsplit

import pytest
from typer.testing import CliRunner

from meanfield.cli import app
from meanfield.pages.explore import goes_by, loopback, start
from tests.meanfield.cli_runs import HEARING

pytest.importorskip("bottle")


@contextmanager
def serving():
    server, url = start()
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield url
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(scope="module")
def url():
    with serving() as found:
        yield found


def get(url, path="", host=None, token=None, **question):
    """Status, headers and body."""
    parts = urlsplit(url)
    connection = HTTPConnection(parts.hostname, parts.port, timeout=60)
    place = parts.path if token is None else f"/{token}/"
    connection.putrequest("GET", f"{place}{path}?{urlencode(question)}", skip_host=True)
    connection.putheader("Host", host or parts.netloc)
    connection.endheaders()
    reply = connection.getresponse()
    body = reply.read().decode()
    connection.close()
    return reply.status, reply.headers, body


def test_the_page_and_its_files_are_served_with_strict_headers(url):
    for path in ("", "explore.js", "chart.js", "style.css", "explore.css", "names"):
        status, headers, body = get(url, path)
        assert (status, bool(body)) == (200, True), path
        assert headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self';")
        assert "unsafe" not in headers["Content-Security-Policy"]
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cache-Control"] == "no-store"
    assert "<script>" not in get(url)[2]


@pytest.mark.parametrize("token", ["", "x", "é", "A" * 22])
def test_without_the_token_nothing_is_told(url, token):
    for path in ("", "point", "names"):
        status, headers, body = get(url, path, token=token.encode().hex() if token == "é" else token)
        assert status == 403
        assert "open the address that meanfield explore printed" in body
        assert headers["Content-Security-Policy"].startswith("default-src 'none'")


def test_another_host_is_refused_though_it_knows_the_token(url):
    port = urlsplit(url).port
    for host in ("evil.example", f"evil.example:{port}", "127.0.0.1", f"127.0.0.1:{port + 1}", f"10.0.0.1:{port}"):
        assert get(url, "names", host=host)[0] == 403, host
    assert get(url, "names", host=f"localhost:{port}")[0] == 200


def test_what_is_not_there_is_404(url):
    assert get(url, "../../etc/passwd")[0] == 404
    assert get(url, "knobs.py")[0] == 404


def test_a_bad_formula_is_told_with_its_column(url):
    status, _, body = get(url, "point", activation="tanh(x)^2")
    assert status == 400
    assert json.loads(body) == {"error": "'^' is not a power here; write ** for powers", "column": 8}


def test_bad_numbers_and_phases_that_do_not_exist_are_told(url):
    assert get(url, "point", weight_var="-1")[0] == 400
    assert "weight_var must be greater than 0" in get(url, "edge", weight_var="-1")[2]
    assert "bias_most must be a number" in get(url, "diagram", bias_most="high")[2]
    status, _, body = get(url, "point", activation="sign")
    assert status == 400
    assert "the activation jumps" in json.loads(body)["error"]


def test_answers_are_the_numbers_of_the_knobs(url):
    from meanfield.pages import knobs

    status, headers, body = get(url, "point", activation="relu", weight_var="1.5", bias_var="0.1", depth="4")
    assert (status, headers["Content-Type"]) == (200, "application/json")
    assert json.loads(body) == knobs.point(knobs.Settings("relu", 1.5, 0.1, 4))


def test_a_browser_that_hangs_up_leaves_no_trace(url, capfd):
    parts = urlsplit(url)
    for text in (b"", b"GET ", f"GET {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n".encode()):
        with socket.create_connection((parts.hostname, parts.port)) as hasty:
            hasty.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            hasty.sendall(text)
    assert get(url, "names")[0] == 200
    assert capfd.readouterr().err == ""


def test_only_this_machine_is_listened_to():
    server, _ = start()
    try:
        assert server.server_address[0] == "127.0.0.1"
    finally:
        server.server_close()


@pytest.mark.parametrize(
    ("host", "local"),
    [("127.0.0.1", True), ("localhost", True), ("::1", True), ("127.1.2.3", True), ("0.0.0.0", False), ("::", False)],
)
def test_which_hosts_are_this_machine(host, local):
    assert loopback(host) is local


def test_names_of_a_server_that_others_reach():
    known = goes_by("0.0.0.0", 80)
    assert known("192.0.2.7:80")
    assert known("[2001:db8::1]:80")
    assert not known("evil.example:80")
    assert not known("192.0.2.7:81")
    assert goes_by("lab.example", 80)("lab.example:80")


# -- the command -------------------------------------------------------------------------------------------------------


def complaint(*arguments):
    result = CliRunner().invoke(app, ["explore", "--no-browser", *arguments], prog_name="meanfield")
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
    return result.stderr


def test_a_port_in_use_is_one_sentence():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"port {port} of 127.0.0.1 cannot be had" in complaint("--port", str(port))


def test_wrong_options_are_one_sentence_each():
    assert "add --allow-remote if that is meant" in complaint("--host", "0.0.0.0")
    assert "--port must be from 0 to 65535, not 70000" in complaint("--port", "70000")
    assert "did you mean tanh" in complaint("--activation", "tahn")
    assert "depth must be a whole number of layers" in complaint("--depth", "0")


def test_ctrl_c_stops_with_one_line_and_status_0():
    code = HEARING + "import sys; from meanfield.cli import main; sys.argv[1:] = ['explore', '--no-browser']; main()"
    with subprocess.Popen(
        [sys.executable, "-u", "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        address = process.stdout.readline().strip()
        assert address.startswith("http://127.0.0.1:")
        assert address.endswith("#activation=tanh&weight_var=1.5&bias_var=0.05&depth=30")
        assert get(address.partition("#")[0], "names")[0] == 200
        assert process.stdout.readline() == "Ctrl-C stops.\n"
        process.send_signal(signal.SIGINT)
        try:
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 0
    assert out == "stopped\n"
    assert err == ""
