"""CPU that the check of a small file's type costs: microseconds, by kind of content."""

import asyncio
import io
import os
import time
import zipfile

from artstore.core.archives import HEAD_BYTES
from artstore.ingester.services.detection import Detector
from artstore.ingester.services.types import settle

ROUNDS = 5000
SIZE_BYTES = 4096


def samples() -> dict[str, bytes]:
    document = io.BytesIO()
    with zipfile.ZipFile(document, "w") as archive:
        for name in ("[Content_Types].xml", "_rels/.rels", "word/document.xml"):
            archive.writestr(name, os.urandom(1000))
    return {
        "text, Russian": ("Договор № 17. " * 400).encode()[:SIZE_BYTES],
        "pdf": b"%PDF-1.7" + os.urandom(SIZE_BYTES - 14) + b"%%EOF\n",
        "docx": document.getvalue(),
        "png": b"\x89PNG\r\n\x1a\n" + os.urandom(SIZE_BYTES - 8),
        "unknown (libmagic)": b"\x00\x07" + os.urandom(SIZE_BYTES - 2),
    }


async def measure(detector: Detector, content: bytes, rounds: int) -> float:
    began_s = time.process_time()
    for _ in range(rounds):
        found = await detector.detect(content[:HEAD_BYTES], content)
        settle("application/pdf", "application/pdf", found)
    return (time.process_time() - began_s) / rounds * 1e6


async def run() -> None:
    detector = Detector()
    for kind, content in samples().items():
        await measure(detector, content, 10)
        rounds = ROUNDS // 20 if "libmagic" in kind else ROUNDS
        print(f"{kind:20} {await measure(detector, content, rounds):8.1f} us of CPU")
    detector.close()


def main() -> None:
    asyncio.run(run())


if __name__ == "__main__":
    main()
