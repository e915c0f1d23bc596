"""A quiz: it is dry, then water comes. Is it wet? The relations answer, and the ticks of the states tell what happened.

A state ticks when it begins and when it ends, so an odd tick means active, 0 that it has never been.
"""

# The answer is no, if water is added to what is active. Water brings the wet along, but in the same breath dryness, which
# is still among what may stay, sends it away; only then is dryness itself sent away by water. Nobody calls the wet again.
# If water is set, to be the only active state, dryness is not asked in the first place, and it is wet.

from collections.abc import Iterator

import histrio
from histrio import State


class Weather(histrio.States):
    """What is wet needs water; water makes wet and ends dryness; dryness ends the wet."""

    wet = State(require=["water"])
    dry = State(remove=[wet])
    water = State(add=[wet], remove=[dry])


def main() -> None:
    """Put the question in two ways."""
    for way in ("add", "set"):
        machine = histrio.Machine(Weather)
        machine.add(Weather.dry)
        print(f"it is dry: {ticks(machine)}")
        if way == "add":
            machine.add(Weather.water)
            asked = {"dry", "water"}
        else:
            machine.set(Weather.water)
            asked = {"water"}
        print(f"{way} water: {ticks(machine)}")
        for reason in reasons(asked, set(machine.names)):
            print(f"  {reason}")
        print(f"  is it wet? {'yes' if Weather.wet in machine else 'no'}")


def ticks(machine: histrio.Machine) -> str:
    """The clocks of the three."""
    return ", ".join(f"{state.name} {machine.tick(state)}" for state in (Weather.wet, Weather.dry, Weather.water))


def reasons(asked: set[str], active: set[str]) -> Iterator[str]:
    """Why each state is there, or is not: `asked` were to be active, `active` are."""
    rows = Weather.schema().definitions
    for name in rows:
        by = [other for other in sorted(active) if name in rows[other].add]
        against = [other for other in sorted(asked | active) if name in rows[other].remove]
        if name in active and by:
            yield f"{name} is there: {by[0]} adds it, and nobody removes it"
        elif by:
            yield f"{name} is not there: {by[0]} adds it, but {against[0]}, which was there until now, removes it"
        elif name in asked and name not in active:
            yield f"{name} is gone: {against[0]} removes it"


if __name__ == "__main__":
    main()
