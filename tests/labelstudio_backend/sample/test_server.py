"""The sample's server: what is said when it cannot start. That it starts: tests/e2e."""

import os
import socket
import stat
import sys

import pytest

from labelstudio_backend.sample.accounts import own_account
from labelstudio_backend.sample.server import (
    choose_port,
    environment,
    find_label_studio,
    running_label_studio,
)
from sam_plugins.errors import SamPluginsError


def test_without_label_studio_one_is_told_how_to_install_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SamPluginsError, match="make label-studio-server"):
        find_label_studio()


@pytest.mark.skipif(os.name != "posix", reason="a script as a command")
def test_what_it_said_last_is_told_if_it_does_not_start(tmp_path):
    command = tmp_path / "label-studio"
    command.write_text(f"#!{sys.executable}\nraise SystemExit('no space left')\n")
    command.chmod(0o755)
    folder = tmp_path / "data"
    with (
        pytest.raises(SamPluginsError, match=r"did not start: no space left .*label-studio\.log"),
        running_label_studio(command, folder, own_account(folder)),
    ):
        pass


def test_a_port_that_is_taken_is_left_to_who_has_it():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert choose_port(port) != port
    assert choose_port(port) == port


def test_an_account_is_made_once_and_nobody_else_reads_it(tmp_path):
    folder = tmp_path / "data"
    account = own_account(folder)
    assert own_account(folder) == account
    assert own_account(tmp_path / "other").password != account.password
    assert account.password not in repr(account)
    if os.name == "posix":
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_settings_of_another_label_studio_are_left_out(tmp_path):
    account = own_account(tmp_path)
    given = {"LABEL_STUDIO_DATABASE": "/other.sqlite3", "POSTGRE_HOST": "db", "HOME": "/home/me"}
    settings = environment(given, tmp_path, account, "http://127.0.0.1:8080")
    assert settings["HOME"] == "/home/me"
    assert settings["LABEL_STUDIO_BASE_DATA_DIR"] == str(tmp_path)
    assert not {"LABEL_STUDIO_DATABASE", "POSTGRE_HOST"} & settings.keys()
