"""Ports: where they are, whether one is free, and who has it."""

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from artstore.local.ports import Ports, PortTaken, check_free, free_ports, holder_of, is_free


@contextmanager
def listener() -> Iterator[int]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield taken.getsockname()[1]


def test_the_usual_ports() -> None:
    assert Ports.from_base() == Ports(
        admin=8000, edit=8010, rw=8011, ingester=8020, query=8030, witness=8090, edge=8443
    )


def test_all_ports_move_together_but_for_an_edge_that_is_chosen() -> None:
    assert Ports.from_base(18000).edge == 18443
    assert Ports.from_base(18000, edge=443) == replace(Ports.from_base(18000), edge=443)
    assert Ports.from_base().choose(None, 9443) == replace(Ports.from_base(), edge=9443)
    assert Ports.from_base().choose(None, None) == Ports.from_base()


def test_ports_are_remembered(tmp_path: Path) -> None:
    assert Ports.remembered(tmp_path / "ports.json") is None
    Ports.from_base(18000).remember(tmp_path / "ports.json")
    assert Ports.remembered(tmp_path / "ports.json") == Ports.from_base(18000)


def test_ports_of_a_version_without_a_witness_are_understood(tmp_path: Path) -> None:
    known = asdict(Ports.from_base(18000, edge=443))
    del known["witness"]
    (tmp_path / "ports.json").write_text(json.dumps(known))

    assert Ports.remembered(tmp_path / "ports.json") == Ports.from_base(18000, edge=443)


def test_a_taken_edge_port_is_told_with_its_holder_and_a_way_out() -> None:
    with listener() as port:
        ports = replace(free_ports(), edge=port)
        with pytest.raises(PortTaken) as told:
            check_free(ports)

    text = str(told.value)
    assert f"port {port} (edge) is taken by " in text
    assert f"(pid {os.getpid()})" in text
    assert "--edge-port" in text


def test_every_taken_port_is_told() -> None:
    with listener() as first, listener() as second:
        ports = replace(free_ports(), admin=first, query=second)
        with pytest.raises(PortTaken) as told:
            check_free(ports)

    assert f"port {first} (admin)" in str(told.value)
    assert f"port {second} (query)" in str(told.value)
    assert "--port-base" in str(told.value)


def test_the_holder_of_a_port_is_found() -> None:
    with listener() as port:
        holder = holder_of(port)
        assert not is_free(port)
    assert holder is not None
    assert holder.pid == os.getpid()
    assert is_free(port)
    assert holder_of(port) is None


def test_a_port_of_connections_that_wind_down_is_free() -> None:
    """After a restart the old connections linger for a minute; servers may bind anyway."""
    with listener() as port:
        pass
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(("127.0.0.1", port))
        server.listen()
        client = socket.create_connection(("127.0.0.1", port))
        accepted, _ = server.accept()
        accepted.close()
        client.close()
    assert is_free(port)
