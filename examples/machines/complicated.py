"""A request to a worker, within a state of the client: wait for an event, but not for ever, and not if the worker is gone.

Two machines in one Trio program, without actors. The client's `payload` is an event: a Multi state, which each answer
calls again. All that happens while it waits is within the scope of `worker_ready`, so it ends with it.
"""

from typing import Final

import attrs
import trio

import histrio
from histrio import Machine, State, Transition, exclusive


@attrs.frozen
class Input:
    """What a worker is asked."""

    number: int


@attrs.frozen
class Payload:
    """What a worker answers."""

    square: int


class Client(histrio.States):
    """The one who asks."""

    worker_ready = State()
    payload = State(Payload, require=[worker_ready], multi=True)


class Work(histrio.States):
    """The one who answers: at work, or idle by itself."""

    work_requested = State(Input)
    idle = State(auto=True)
    exclusive(work_requested, idle)


class Worker(histrio.Handlers, states=Work):
    """Squares numbers, in a tenth of a second for each; gives up its post when it is asked for 13."""

    def __init__(self, machine: Machine, client: Machine) -> None:
        self.machine: Final = machine
        self.client: Final = client

    @Work.work_requested.entered
    async def work(self, t: Transition[Input]) -> None:
        number = t.args.number
        if number == 13:
            self.client.remove(Client.worker_ready)
            return
        await trio.sleep(number / 10)
        self.client.add(Client.payload(square=number * number))
        self.machine.remove(Work.work_requested)


async def square(client: Machine, worker: Machine, number: int) -> str:
    """What came of a request."""
    with client.scope(Client.worker_ready) as scope:
        payload = client.when_args(Client.payload)
        worker.add(Work.work_requested(number=number))
        try:
            with trio.fail_after(1):
                transition = await payload
        except trio.TooSlowError as error:
            client.fail(error)
            worker.remove(Work.work_requested)
            return "too late"
        assert transition is not None
        answer = Client.payload.args_in(transition)
        assert answer is not None
        return f"{answer.square}, clock of payload: {client.tick(Client.payload)}"
    assert scope.ended
    return "the worker is gone"


async def main() -> None:
    """Four requests."""
    async with Machine(Client, "client") as client, Machine(Work, "worker") as worker:
        worker.bind(Worker(worker, client))
        client.add(Client.worker_ready)
        for number in (2, 3, 20, 13):
            print(f"{number}: {await square(client, worker, number)}; client: {', '.join(client.names)}")


if __name__ == "__main__":
    trio.run(main)
