"""A worker in a process of its own, to be killed: `python -m tests.support.step_worker URL`.

Its one kind of job takes steps, a line in the table `steps` and a saved number each.
The password comes from the environment.
"""

import asyncio
import os
import sys
from typing import Final

from sqlalchemy import text

from artstore.admin.jobs.run import Later, Run
from artstore.admin.jobs.worker import JobWorker
from artstore.admin.repository.positions import connect
from artstore.core.database import Database
from artstore.core.secrets.chain import fixed_login

KIND: Final = "test.steps"
STEPS: Final = 12
PASSWORD: Final = "DATABASE_PASSWORD"


class Steps:
    def __init__(self, database: Database, name: str, pause_s: float) -> None:
        self._database = database
        self._name = name
        self._pause_s = pause_s

    async def __call__(self, run: Run) -> Later | None:
        for step in range(run.progress.get("step", 0) + 1, STEPS + 1):
            await asyncio.sleep(self._pause_s)
            async with self._database.session() as session:
                statement = "INSERT INTO public.steps (key, step, worker) VALUES (:k, :s, :w)"
                values = {"k": run.key, "s": step, "w": self._name}
                await session.execute(text(statement), values)
            await run.save({"step": step})
        return None


def worker(database: Database, url: str, name: str, pause_s: float) -> JobWorker:
    password = os.environ[PASSWORD]
    return JobWorker(
        database,
        lambda: connect(url, fixed_login(password)),
        {KIND: Steps(database, name, pause_s)},
        name=name,
        lease_s=1.5,
    )


async def main(url: str, name: str) -> None:
    database = Database(url, fixed_login(os.environ[PASSWORD]), application_name=name)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await worker(database, url, name, 0.1).run()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
