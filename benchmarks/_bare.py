"""The least that a Python server does for an upload: `python -m benchmarks._bare PORT`."""

import sys

import uvicorn
from starlette.types import Receive, Scope, Send

ANSWER = b"x" * 600


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    del scope
    while (await receive()).get("more_body", False):
        pass
    length = b"%d" % len(ANSWER)
    headers = [(b"content-type", b"application/json"), (b"content-length", length)]
    await send({"type": "http.response.start", "status": 201, "headers": headers})
    await send({"type": "http.response.body", "body": ANSWER})


if __name__ == "__main__":
    uvicorn.run(
        app,
        port=int(sys.argv[1]),
        loop="uvloop",
        http="httptools",
        lifespan="off",
        log_config=None,
        access_log=False,
    )
