"""The same server with pages that return a constant: what HTTP alone costs, to measure the store against.

`python -m examples.kv_service.constant` serves at PORT until SIGINT; benchmarks start it beside the service.
"""

import contextlib
import os
import sys

import trio
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp

import histrio
from examples.kv_service.front import Address, Front, make_app
from examples.kv_service.place import listen_at

__all__ = ("constant", "main")


async def constant(_body: bytes) -> Response:
    """Answer as a Read of a small value is answered, without reading, parsing or asking anything."""
    return PlainTextResponse("Result 1\n")


def _constant_app(_front: Front) -> ASGIApp:
    return make_app(constant, constant, constant)


async def _serve(system: histrio.System) -> None:
    with listen_at(os.environ) as listener:
        front = await system.spawn(Front, _constant_app, listener, name="front")
        print(f"constant listens at {await front.ask(Address())}", flush=True)
        await trio.sleep_forever()


def main() -> int:
    """Serve until SIGINT."""
    with contextlib.suppress(KeyboardInterrupt):
        histrio.run(_serve)
    return 0


if __name__ == "__main__":
    sys.exit(main())
