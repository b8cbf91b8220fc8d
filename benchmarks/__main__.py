"""`make bench` lists the benchmarks, `make bench ARGS=large_file` runs one."""

import runpy
import sys
from pathlib import Path

FOLDER = Path(__file__).parent


def main() -> int:
    names = sorted(path.stem for path in FOLDER.glob("*.py") if not path.stem.startswith("_"))
    if len(sys.argv) > 1 and sys.argv[1] in names:
        sys.argv = sys.argv[1:]
        runpy.run_module(f"benchmarks.{sys.argv[0]}", run_name="__main__", alter_sys=True)
        return 0
    print("Benchmarks (run one with: make bench ARGS=NAME):")
    for name in names:
        first_line = (FOLDER / f"{name}.py").read_text("utf-8").splitlines()[0]
        print(f"  {name:24} {first_line.strip(chr(34))}")
    return 0 if len(sys.argv) == 1 else 2


if __name__ == "__main__":
    sys.exit(main())
