"""M12: what the page about watching machines shows in a diagram is what its program prints."""

from pathlib import Path
from typing import Final

from tests.docs_programs import fences

from histrio import Machine
from histrio_kernel.machine.around.diagrams import mermaid
from histrio_kernel.machine.states.family import StatesMeta

PAGE: Final = Path(__file__).resolve().parents[3] / "docs" / "how-to" / "watch-a-machine.md"


def test_the_diagram_of_the_page_is_drawn_by_its_program() -> None:
    """M12: the pump as it is on the page, drawn anew, is the diagram below it. The other outputs run as sessions."""
    names: dict[str, object] = {"__name__": "page"}
    blocks = [(info, "\n".join(block)) for _, info, block in fences(PAGE.read_text(encoding="utf-8"))]
    exec(next(code for info, code in blocks if info == "python"), names)
    pump, states = names["pump"], names["Pump"]
    assert isinstance(pump, Machine)
    assert isinstance(states, StatesMeta)
    pump.add(states["power"], states["pumping"])

    assert [code for info, code in blocks if info == "mermaid"] == [mermaid(pump)]
