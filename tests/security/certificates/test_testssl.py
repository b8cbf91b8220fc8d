"""What somebody else's scanner says of the edge and of a module: testssl.sh, Debian's package.

Slow: `make test-tls`. Findings about certificates of an authority that the world does not know are
left out: that is what they are.
"""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.support.stack import RunningStack

pytestmark = pytest.mark.slow
WORRYING = {"MEDIUM", "HIGH", "CRITICAL"}
CHECKS = ("--protocols", "--server-defaults", "--server-preference", "--vulnerable")
OF_A_PRIVATE_AUTHORITY = (
    "cert_chain_of_trust",
    "cert_crlDistributionPoints",
    "cert_expirationStatus",
    "cert_ocspURL",
    "cert_revocation",
    "cert_trust",
    "cert_validityPeriod",
    "cert_notAfter",
    "DNS_CAArecord",
    "certificate_transparency",
)


@pytest.mark.parametrize("program", ["edge", "query-1"])
def test_the_scanner_finds_nothing_worrying(
    stack: RunningStack, tmp_path: Path, program: str
) -> None:
    scanner = shutil.which("testssl") or shutil.which("testssl.sh")
    if scanner is None:
        pytest.skip("needs Debian's package testssl.sh")
    report = tmp_path / "report.json"
    address = f"127.0.0.1:{stack.process(program).port}"
    options = [*CHECKS, "--quiet", "--color", "0", "--warnings", "off", "--jsonfile", report]
    subprocess.run([scanner, *options, address], capture_output=True, timeout=540, check=False)

    findings = json.loads(report.read_text())
    told = {finding["id"]: finding for finding in findings}
    for version in ("SSLv2", "SSLv3", "TLS1", "TLS1_1", "TLS1_2"):
        assert "not offered" in told[version]["finding"], told[version]
    assert "offered" in told["TLS1_3"]["finding"]
    worrying = [
        f"{finding['id']}: {finding['finding']}"
        for finding in findings
        if finding["severity"] in WORRYING and not finding["id"].startswith(OF_A_PRIVATE_AUTHORITY)
    ]
    assert worrying == []
