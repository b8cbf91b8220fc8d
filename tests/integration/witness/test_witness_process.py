"""A witness as its operator runs it: a process of its own, asked over HTTP."""

import json
import resource
import socket
import ssl
import stat
import threading
import time
from hashlib import sha256
from pathlib import Path

import httpx2
import pytest
import uvicorn
from tests.support.module_process import free_port
from tests.support.pki import Pki
from tests.support.processes import wait_until
from tests.support.transparency import LOG_KEY, ORIGIN, POLICY, T0, WITNESSED, entry, key, make_log
from tests.support.witnesses import RunningWitness, WitnessFiles, run_witness, running_witness

from artstore.core.clock import SystemClock
from artstore.core.tlog.errors import LogRolledBack
from artstore.core.tlog.log import Log
from artstore.core.tlog.notes.keys import Algorithm
from artstore.core.tlog.notes.policy import TrustPolicy
from artstore.core.tlog.store import MemoryStore
from artstore.core.tlog.witnessing import WitnessRefused, WitnessRolledBack
from artstore.witness import app
from artstore.witness.settings import LogsFile, WitnessSettings, read_keys, read_logs
from artstore.witness.witness import Witness


@pytest.fixture
def files(tmp_path: Path) -> WitnessFiles:
    return WitnessFiles.make(tmp_path, [LOG_KEY.verifier])


def grow(log: Log, count: int, flavour: str = "") -> Log:
    size = log.checkpoint.size
    log.append([entry(i, flavour) for i in range(size, size + count)], T0)
    return log


def test_a_log_gets_its_checkpoints_cosigned(files: WitnessFiles) -> None:
    policy = TrustPolicy(ORIGIN, (LOG_KEY.verifier,), files.keys, 1)
    log = make_log()
    with running_witness(files) as witness:
        for known, count in ((0, 5), (5, 700), (705, 1)):
            grow(log, count)
            note = log.note.with_signatures(witness.ask(log, known))
            signed = policy.confirmed_checkpoint(note.to_bytes())
            assert len(note.signatures) == 3
            assert signed.witnesses["witness.example/w1"] > T0 - 10**9
        fetched = httpx2.get(f"{witness.url}/{sha256(ORIGIN.encode()).hexdigest()}/checkpoint")

    assert fetched.content == note.to_bytes()
    assert fetched.headers["content-type"] == "text/plain; charset=utf-8"


def test_a_witness_that_knows_more_than_we_thought_is_asked_again(files: WitnessFiles) -> None:
    log = grow(make_log(), 5)
    with running_witness(files) as witness:
        witness.ask(log)
        assert witness.ask(grow(log, 3), known_size=2)


def test_a_log_that_was_put_back_is_told_so(files: WitnessFiles) -> None:
    with running_witness(files) as witness:
        witness.ask(grow(make_log(), 9))
        with pytest.raises(LogRolledBack, match="has seen 9 entries, the log has 5"):
            witness.ask(grow(make_log(), 5))


def test_a_history_that_forked_is_not_cosigned(files: WitnessFiles) -> None:
    with running_witness(files) as witness:
        witness.ask(grow(make_log(), 9))
        with pytest.raises(WitnessRefused) as refusal:
            witness.ask(grow(make_log(), 20, "another history"), known_size=9)

    assert refusal.value.status == 422


def test_new_keys_of_a_log_count_without_a_restart(files: WitnessFiles) -> None:
    logs, rotated = files.folder / "logs", key(ORIGIN, number=77)
    log = grow(make_log(), 5)
    with running_witness(files) as witness:
        witness.ask(log)
        grown = grow(make_log(keys=(rotated,)), 9)
        with pytest.raises(WitnessRefused) as refusal:
            witness.ask(grown, known_size=5)
        assert refusal.value.status == 403

        logs.write_text("this is no key\n")
        witness.ask(grow(log, 1), known_size=5)

        logs.write_text(f"{LOG_KEY.verifier}\n{rotated.verifier}\n")
        assert witness.ask(grown, known_size=6)
        assert witness.process.poll() is None


def test_a_witness_that_was_put_back_is_found_out(files: WitnessFiles) -> None:
    log = grow(make_log(), 9)
    with running_witness(files) as witness:
        witness.ask(log)
    (record,) = (files.folder / "state").glob("*/checkpoint")
    record.unlink()

    with running_witness(files) as witness, pytest.raises(WitnessRolledBack):
        witness.ask(grow(log, 1), known_size=9)


class Asking:
    """Grows a log and asks for each state, as fast as it can, until the witness is gone."""

    def __init__(self) -> None:
        self.log = make_log()
        self.answered = 0

    def go_on(self, witness: RunningWitness) -> None:
        while True:
            grow(self.log, 1)
            try:
                witness.ask(self.log, known_size=self.answered)
            except httpx2.HTTPError:
                return
            self.answered = self.log.checkpoint.size


def assert_no_fork_is_cosigned(witness: RunningWitness, known_size: int) -> None:
    for size in (known_size, known_size + 1, known_size * 2):
        fork = grow(make_log(), size, "another history")
        with pytest.raises(WitnessRefused) as refusal:
            witness.ask(fork, known_size=known_size)
        assert refusal.value.status == 422


def test_what_was_answered_survives_kill_9(files: WitnessFiles) -> None:
    asking, state = Asking(), None
    for _ in range(10):
        with running_witness(files) as witness:
            if state is not None:
                assert_no_fork_is_cosigned(witness, state.size)
            before = asking.answered
            thread = threading.Thread(target=asking.go_on, args=(witness,))
            thread.start()
            wait_until(lambda: asking.answered > before + 20, "twenty answers")  # noqa: B023
            witness.process.kill()
            witness.process.wait()
            thread.join()
        (record,) = (files.folder / "state").glob("*/checkpoint")
        state = POLICY.signed_checkpoint(record.read_bytes()).checkpoint
        assert asking.answered <= state.size <= asking.log.checkpoint.size
        assert state.root == asking.log.reader().root_at(state.size)
    with running_witness(files) as witness:
        assert witness.ask(grow(asking.log, 1), known_size=asking.answered)


def test_a_state_has_one_witness(files: WitnessFiles) -> None:
    with running_witness(files):
        second = run_witness("serve", *files.options, "--port", "0")

    assert second.returncode == 1
    assert "another witness uses this folder" in second.stderr


def test_a_damaged_record_keeps_the_witness_from_starting(files: WitnessFiles) -> None:
    with running_witness(files) as witness:
        witness.ask(grow(make_log(), 9))
    (record,) = (files.folder / "state").glob("*/checkpoint")
    record.write_bytes(record.read_bytes().replace(b"\n9\n", b"\n8\n"))

    again = run_witness("serve", *files.options, "--port", "0")
    assert again.returncode == 1
    assert "damaged" in again.stderr


def test_what_is_no_call_of_the_protocol_gets_a_plain_answer(files: WitnessFiles) -> None:
    with running_witness(files) as witness:
        assert httpx2.get(f"{witness.url}/health/live").status_code == 200
        assert httpx2.get(f"{witness.url}/add-checkpoint").status_code == 405
        assert httpx2.get(f"{witness.url}/{'0' * 64}/checkpoint").status_code == 404
        assert httpx2.get(f"{witness.url}/..%2f..%2fkey/checkpoint").status_code == 404
        assert httpx2.get(f"{witness.url}/key").status_code == 404
        assert witness.post(b"").status == 400
        assert witness.post(b"x" * 300_000).status == 413


def test_on_a_full_disk_nothing_is_signed_and_nothing_forgotten(files: WitnessFiles) -> None:
    with running_witness(files) as witness:
        log = grow(make_log(), 9)
        assert witness.ask(log)
        limits = resource.prlimit(witness.process.pid, resource.RLIMIT_FSIZE)
        # No file may grow longer: what a full disk looks like from inside. Its own output may
        # still be written.
        resource.prlimit(witness.process.pid, resource.RLIMIT_FSIZE, (2500, limits[1]))
        with pytest.raises(WitnessRefused) as refusal:
            witness.ask(grow(log, 5), 9)
        assert refusal.value.status == 500
        resource.prlimit(witness.process.pid, resource.RLIMIT_FSIZE, limits)
        assert witness.ask(log, 9)


def test_whoever_only_holds_connections_keeps_nobody_out(
    files: WitnessFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "HEAD_TIMEOUT_S", 1.0)
    settings = WitnessSettings(
        key_file=files.folder / "key",
        logs_file=files.folder / "logs",
        state=files.folder / "state",
        port=free_port(),
    )
    log_keys, keys = read_logs(settings.logs_file), read_keys(settings.key_file)
    witness = Witness(MemoryStore(), keys.current, log_keys, SystemClock())
    served = app.create_app(witness, LogsFile(settings.logs_file))
    server = uvicorn.Server(app._server_config(served, settings))
    thread = threading.Thread(target=server.run)
    thread.start()
    held: list[socket.socket] = []
    url = f"http://127.0.0.1:{settings.port}/health/live"
    try:
        wait_until(lambda: server.started, "the witness")
        for number in range(app.CONNECTIONS_MAX):
            held.append(socket.create_connection(("127.0.0.1", settings.port)))
            # Some say nothing, some begin and go no further.
            held[-1].sendall((b"", b"P", b"POST / HTTP/1.1\r\nHost: x\r\n")[number % 3])
        wait_until(lambda: httpx2.get(url).status_code == 200, "an answer")
        with httpx2.Client() as patient:
            for _ in range(3):
                assert patient.get(url).status_code == 200
                time.sleep(0.6)  # together longer than one request may take to be asked
    finally:
        for each in held:
            each.close()
        server.should_exit = True
        thread.join()


def test_a_log_that_is_not_listed_is_unknown(files: WitnessFiles) -> None:
    (files.folder / "logs").write_text(f"# none but this\n\n{key('other.example').verifier}\n")
    with running_witness(files) as witness, pytest.raises(WitnessRefused) as refusal:
        witness.ask(grow(make_log(), 1))

    assert refusal.value.status == 404


def test_over_tls_it_speaks_1_3_only(files: WitnessFiles, pki: Pki) -> None:
    tls = pki.files("admin", "admin-1")
    options = ("--tls-certificate-file", tls.certificate, "--tls-key-file", tls.key)
    with running_witness(files, *options) as witness:
        context = ssl.create_default_context(cafile=str(tls.ca))
        answer = httpx2.get(f"{witness.url}/health/live", verify=context)
        old = ssl.create_default_context(cafile=str(tls.ca))
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        with pytest.raises(ssl.SSLError), _connected(witness) as plain:
            old.wrap_socket(plain, server_hostname="127.0.0.1")

    assert answer.status_code == 200


def _connected(witness: RunningWitness) -> socket.socket:
    return socket.create_connection(("127.0.0.1", int(witness.url.rpartition(":")[2])), 10)


class TestOperation:
    def test_keys_are_made_once_and_for_one_reader(self, tmp_path: Path) -> None:
        files = WitnessFiles.make(tmp_path, [])
        key_file = tmp_path / "key"

        assert [public.algorithm for public in files.keys] == [
            Algorithm.ED25519_COSIGNATURE,
            Algorithm.ML_DSA_44_COSIGNATURE,
        ]
        assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
        before = key_file.read_bytes()
        again = run_witness("init", "--key-file", key_file, "--name", "w.example/1")
        assert again.returncode == 1
        assert key_file.read_bytes() == before

    def test_a_name_that_cannot_stand_in_a_note_is_refused(self, tmp_path: Path) -> None:
        refused = run_witness("init", "--key-file", tmp_path / "key", "--name", "a b")

        assert refused.returncode == 1
        assert not (tmp_path / "key").exists()

    def test_keys_that_others_may_read_are_refused(self, files: WitnessFiles) -> None:
        (files.folder / "key").chmod(0o644)

        assert "others may read" in run_witness("serve", *files.options).stderr

    def test_beyond_this_machine_it_needs_tls(self, files: WitnessFiles) -> None:
        refused = run_witness("serve", *files.options, "--host", "0.0.0.0")

        assert refused.returncode == 1
        assert "needs TLS" in refused.stderr

    @pytest.mark.parametrize("content", ["not a key\n", f"{LOG_KEY.secret_text()}\n", "# none\n"])
    def test_a_key_file_without_keys_for_cosignatures_is_refused(
        self, files: WitnessFiles, content: str
    ) -> None:
        (files.folder / "key").write_text(content)

        refused = run_witness("serve", *files.options)
        assert refused.returncode == 1
        assert LOG_KEY.secret_text() not in refused.stderr

    def test_its_lines_are_json_and_hold_no_secret(self, files: WitnessFiles) -> None:
        with running_witness(files) as witness:
            witness.ask(grow(make_log(), 1))
            witness.post(b"")
        output = (files.folder / "output").read_text()

        lines = [json.loads(line) for line in output.splitlines()]
        assert {line["event"] for line in lines} >= {"witness starts", "refused"}
        for secret in (files.folder / "key").read_text().split():
            assert secret not in output


def test_two_witnesses_make_a_quorum(tmp_path: Path) -> None:
    folders = [tmp_path / "one", tmp_path / "two"]
    both = []
    for number, folder in enumerate(folders):
        folder.mkdir()
        both.append(WitnessFiles.make(folder, [LOG_KEY.verifier], f"w{number}.example/w"))
    keys = (*both[0].keys, *both[1].keys)
    policy = TrustPolicy(ORIGIN, (LOG_KEY.verifier,), keys, quorum=2)
    log = grow(make_log(), 10)
    with running_witness(both[0]) as one, running_witness(both[1]) as two:
        note = log.note.with_signatures(one.ask(log))
        assert not policy.is_confirmed(policy.signed_checkpoint(note.to_bytes()))
        note = note.with_signatures(two.ask(log))

    assert policy.confirmed_checkpoint(note.to_bytes()).witnesses.keys() == {
        "w0.example/w",
        "w1.example/w",
    }
    assert not WITNESSED.is_confirmed(WITNESSED.signed_checkpoint(note.to_bytes()))
