"""A11: what becomes of every call of a drawn program is the same on an inbox as on Trio's memory channel."""

from functools import partial
from typing import Final

import attrs
import trio
from hypothesis import given
from hypothesis import strategies as st
from tests.kernel.ends import Calls, Ends, Open, drain, open_ours, open_trio, settle


@attrs.frozen
class Do:
    """One call of a drawn program. `who` names an earlier call, counted from the first, that is to be cancelled."""

    what: str
    who: int = 0


IN_A_TASK: Final = ("send", "receive")
AT_ONCE: Final = ("send_nowait", "receive_nowait", "cancel", "close_send", "close_receive")

calls_at_once: Final = st.builds(Do, st.sampled_from(AT_ONCE[:3]), st.integers(0, 12)) | st.builds(
    Do, st.sampled_from(AT_ONCE)
)
# A step is one call in a task of its own, or several calls between which no task runs.
steps: Final = st.one_of(
    st.builds(Do, st.sampled_from(IN_A_TASK)).map(lambda do: [do]),
    st.builds(Do, st.sampled_from(IN_A_TASK)).map(lambda do: [do]),
    st.lists(calls_at_once, min_size=1, max_size=4),
)


def call_at_once(do: Do, value: int, ends: Ends, calls: Calls) -> object:
    """What becomes of a call that does not wait."""
    send, receive = ends
    try:
        match do.what:
            case "send_nowait":
                send.send_nowait(value)
            case "receive_nowait":
                return receive.receive_nowait()
            case "cancel":
                if calls.scopes:
                    list(calls.scopes.values())[do.who % len(calls.scopes)].cancel()
            case "close_send":
                send.close()
            case _:
                receive.close()
    except (trio.WouldBlock, trio.ClosedResourceError, trio.BrokenResourceError, trio.EndOfChannel) as error:
        return type(error)
    return None


async def run_program(open_: Open, size: int, program: list[list[Do]]) -> tuple[dict[str, object], list[object]]:
    """What becomes of every call of the program, and what is in at its end."""
    ends = send, receive = open_(size)
    async with trio.open_nursery() as nursery:
        calls = Calls(nursery)
        for index, step in enumerate(program):
            for place, do in enumerate(step):
                value = 10 * index + place
                name = f"{value}: {do.what}"
                if do.what == "send":
                    await calls.start(name, partial(send.send, value))
                elif do.what == "receive":
                    await calls.start(name, receive.receive)
                else:
                    calls.outcomes[name] = call_at_once(do, value, ends, calls)
            await settle()
        outcomes = dict(calls.outcomes)
        nursery.cancel_scope.cancel()
    try:
        return outcomes, await drain(receive)
    except trio.ClosedResourceError:
        return outcomes, ["closed"]


@given(size=st.integers(1, 3), program=st.lists(steps, max_size=20))
def test_every_call_of_a_drawn_program_ends_as_on_trios_channel(size: int, program: list[list[Do]]) -> None:
    """A11: whatever is sent, received, cancelled and closed, in whatever order: what became of each call is the same."""
    expected = trio.run(run_program, open_trio, size, program)

    assert trio.run(run_program, open_ours, size, program) == expected
