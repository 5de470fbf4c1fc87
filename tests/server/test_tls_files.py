"""TLS contexts that follow their files: what is taken up, what is kept, and what the log says of it."""

import logging
import os
import ssl
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from parley.server.start import StartError
from parley.server.tls import server_context
from parley.server.tls_files import LOOK_INTERVAL_S, NOTICE_INTERVAL_S, TlsFiles
from tests.support.certificates import Authority, Pair
from tests.support.logs import LogWatch


class Scene:
    """A pair of files, what follows them, and its clock."""

    def __init__(self, authority: Authority, own: Pair) -> None:
        self.authority = authority
        self.own = own
        self.now_s = 100.0
        make = partial(server_context, *own, section="server")
        self.files = TlsFiles(
            make,
            own,
            name="server.tls_certificate_file",
            certificate_file=own.certificate_file,
            clock=lambda: self.now_s,
        )

    def later(self, seconds: float = LOOK_INTERVAL_S) -> ssl.SSLContext:
        """The context some time later."""
        self.now_s += seconds
        return self.files()


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def log() -> Iterator[LogWatch]:
    with LogWatch() as watch:
        yield watch


@pytest.fixture
def scene(authority: Authority, log: LogWatch) -> Scene:
    return Scene(authority, authority.server())


def said(log: LogWatch, level: int) -> list[str]:
    return [record.getMessage() for record in log.records if record.levelno == level]


def test_files_that_stay_are_read_once(scene: Scene) -> None:
    assert scene.later() is scene.later()


def test_what_has_changed_is_used_from_the_next_look_on(scene: Scene, log: LogWatch) -> None:
    before = scene.files()
    scene.own.replace_with(scene.authority.server())
    assert scene.later(LOOK_INTERVAL_S / 2) is before
    after = scene.later()
    assert after is not before
    assert scene.later() is after
    assert said(log, logging.INFO) == ["server.tls_certificate_file: its files have changed and are used from now on"]


def test_what_can_t_be_used_is_told_once_and_leaves_what_was_before(scene: Scene, log: LogWatch) -> None:
    before = scene.files()
    scene.own.key_file.write_text("no key")
    assert [scene.later() for _ in range(5)] == [before] * 5
    (message,) = said(log, logging.ERROR)
    assert "those before them stay. certificate-unusable: " in message
    assert "no key" not in log.everything


def test_files_that_are_replaced_one_after_the_other_are_no_failure(scene: Scene, log: LogWatch) -> None:
    before, renewed = scene.files(), scene.authority.server()
    os.replace(renewed.certificate_file, scene.own.certificate_file)
    assert scene.later() is before
    os.replace(renewed.key_file, scene.own.key_file)
    assert scene.later() is not before
    assert said(log, logging.ERROR) == []


def test_a_failure_that_is_mended_is_over(scene: Scene, log: LogWatch) -> None:
    before, key = scene.files(), scene.own.key_file.read_bytes()
    for _ in range(2):
        scene.own.key_file.write_text("no key")
        assert [scene.later(), scene.later()] == [scene.later()] * 2
        scene.own.key_file.write_bytes(key)
        os.utime(scene.own.key_file, ns=(int(scene.now_s), int(scene.now_s)))
        assert scene.later() is not before
    assert len(said(log, logging.ERROR)) == 2


def test_files_that_are_gone_leave_what_was_before(scene: Scene, log: LogWatch) -> None:
    before = scene.files()
    scene.own.certificate_file.unlink()
    assert [scene.later(), scene.later()] == [before] * 2
    (message,) = said(log, logging.ERROR)
    assert "server.tls_certificate_file can't be read" in message


def test_what_can_t_be_used_at_the_start_is_no_start(authority: Authority) -> None:
    own = authority.server()
    own.key_file.unlink()
    with pytest.raises(StartError):
        Scene(authority, own)


def test_a_certificate_near_its_end_is_told_of_once_a_day(authority: Authority, log: LogWatch) -> None:
    scene = Scene(authority, authority.server(is_good_for=timedelta(days=9, hours=12)))
    for _ in range(5):
        scene.later()
    assert len(said(log, logging.WARNING)) == 1
    assert "good for 9.5 more days, until " in said(log, logging.WARNING)[0]
    scene.later(NOTICE_INTERVAL_S)
    assert len(said(log, logging.WARNING)) == 2


def test_a_certificate_that_has_ended_is_an_error(authority: Authority, log: LogWatch) -> None:
    Scene(authority, authority.server(is_good_for=timedelta(hours=-1)))
    (message,) = said(log, logging.ERROR)
    assert "the certificate ended on " in message


def test_a_renewal_ends_the_notices(authority: Authority, log: LogWatch) -> None:
    scene = Scene(authority, authority.server(is_good_for=timedelta(days=1)))
    scene.own.replace_with(authority.server(is_good_for=timedelta(days=90)))
    scene.later()
    scene.later(NOTICE_INTERVAL_S)
    assert len(said(log, logging.WARNING)) == 1


def test_without_a_certificate_no_end_is_told(authority: Authority, log: LogWatch) -> None:
    TlsFiles(ssl.create_default_context, [authority.file], name="upstream.tls")()
    assert log.messages == []
