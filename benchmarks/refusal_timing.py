"""Whether the time of a refusal tells if an account exists: Welch's t over many samples.

`python -m benchmarks.refusal_timing [samples]`. Unknown names and wrong secrets of a known
account in turn, against a real admin module, each from an address of its own. |t| below 4.5 (the
usual bound for leaks, ISO 17825) means no difference was found. 20,000 samples take about an hour.
"""

import math
import secrets
import statistics
import sys
import time
from ipaddress import ip_address

from benchmarks.token_requests import admin


def welch(first: list[float], second: list[float]) -> float:
    spread = statistics.variance(first) / len(first) + statistics.variance(second) / len(second)
    return (statistics.fmean(first) - statistics.fmean(second)) / math.sqrt(spread)


def main() -> None:
    samples = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    times: dict[str, list[float]] = {"cli": [], "nobody": []}
    with admin() as running, running.client() as client:
        for number in range(samples):
            name = ("cli", "nobody")[number % 2]
            body = {
                "grant_type": "client_credentials",
                "client_id": name,
                "client_secret": secrets.token_urlsafe(32),
            }
            headers = {"X-Forwarded-For": str(ip_address(secrets.randbits(32)))}
            started_s = time.perf_counter()
            answer = client.post("/api/v1/auth/token", data=body, headers=headers)
            times[name].append(time.perf_counter() - started_s)
            assert answer.status_code == 401, answer.text
    known, unknown = times["cli"], times["nobody"]
    for name, found in times.items():
        print(f"{name}: median {statistics.median(found) * 1000:.2f} ms")
    print(f"Welch's t = {welch(known, unknown):.2f} over {samples} samples")


if __name__ == "__main__":
    main()
