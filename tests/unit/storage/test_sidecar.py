import pytest
from tests.support.stepped_element import FixedClock, Ids, make_record

from artstore.storage.engine import sidecar
from artstore.storage.engine.sidecar import AttrDamaged


def test_a_sealed_record_comes_back(clock: FixedClock, ids: Ids) -> None:
    record = make_record(ids.new(), b"x", clock, name='quote " and \u2028 and "}')
    data = sidecar.seal(record.to_json())

    assert sidecar.unseal(data) == record.to_json()
    assert sidecar.parse(data, record.file_id) == record


@pytest.mark.parametrize("data", [b"", b"{}", b"{}\n", b"\0" * 500, b'{"record_sha256":"'])
def test_what_is_not_sealed_is_damage(data: bytes, ids: Ids) -> None:
    with pytest.raises(AttrDamaged):
        sidecar.parse(data, ids.new())


def test_every_cut_is_damage(clock: FixedClock, ids: Ids) -> None:
    data = sidecar.seal(make_record(ids.new(), b"x", clock).to_json())
    for length in range(len(data)):
        with pytest.raises(AttrDamaged):
            sidecar.unseal(data[:length])
