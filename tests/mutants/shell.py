"""Ways to get waits, state scopes and the tasks of states wrong: each is one change that some test must notice (M5 to M8)."""

from typing import Final

from tests.mutants.mutant import Mutant

ACTIVATIONS: Final = "kernel/histrio_kernel/machine/shell/activations.py"
KEEPER: Final = "kernel/histrio_kernel/machine/shell/keeper.py"
MACHINE: Final = "kernel/histrio_kernel/machine/shell/machine.py"
OWNED: Final = "kernel/histrio_kernel/machine/shell/owned.py"
SCOPES: Final = "kernel/histrio_kernel/machine/shell/scopes.py"
TASKS: Final = "kernel/histrio_kernel/machine/shell/tasks.py"
WAITS: Final = "kernel/histrio_kernel/machine/shell/waits.py"

GIVEN_UP: Final = "tests/machine/shell/test_waits_given_up.py"
IN_SCOPES: Final = "tests/machine/shell/test_scopes.py"
IN_TASKS: Final = "tests/machine/shell/test_tasks.py"
ERRORS: Final = "tests/machine/shell/test_task_errors.py"
OPENING: Final = "tests/machine/shell/test_opening.py"
OWNER: Final = "tests/actors/machines/test_owner.py"
WITHIN: Final = "tests/actors/machines/test_within.py"
STATE_TASKS: Final = "tests/actors/machines/test_state_tasks.py"
STOPPING: Final = "tests/actors/machines/test_stopping.py"

SHELL: Final = (
    # -- waits -----------------------------------------------------------------------------------------------------
    Mutant(
        "nobody-tells-the-waits",
        WAITS,
        "                self._body.flags |= HEARD\n                self._places[at] = wait\n",
        "                self._places[at] = wait\n",
        "a machine tells of its transitions while somebody waits (M6)",
        "tests/machine/shell/test_waits.py",
    ),
    Mutant(
        "what-may-be-rolled-back-is-true",
        MACHINE,
        "        return running is not None and running.result is None and running.moved\n",
        "        return False\n",
        "what a final handler sees has not come true yet (M6)",
        "tests/machine/shell/test_wait_moments.py",
    ),
    Mutant(
        "a-wait-outlives-its-awaiter",
        WAITS,
        "        if alone:\n            self._request_cancel()\n",
        "",
        "a wait ends with its last awaiter, and frees its place (M6)",
        GIVEN_UP,
    ),
    # -- activations -----------------------------------------------------------------------------------------------
    Mutant(
        "work-goes-on",
        ACTIVATIONS,
        "            if work in self.works:\n                work.end()\n",
        "            pass\n",
        "what belongs to an activation ends with it (M7)",
        IN_SCOPES,
    ),
    Mutant(
        "late-work-is-not-waited-for",
        ACTIVATIONS,
        "        self.works[work] = None\n        if self.is_over:\n            work.end()\n",
        "        if self.is_over:\n            work.end()\n        else:\n            self.works[work] = None\n",
        "what is given to an activation that is over has ended before its `exited` (M7)",
        WITHIN,
    ),
    Mutant(
        "exited-beside-the-clean-up",
        ACTIVATIONS,
        "            if first.works:\n                return\n",
        "",
        "all work of an activation has ended before its `exited` and the next task (M7)",
        IN_TASKS,
    ),
    Mutant(
        "next-task-beside-the-exited",
        ACTIVATIONS,
        "                self._is_closing = True\n",
        "                pass\n",
        "the next task starts when `exited` is over (M7)",
        WITHIN,
    ),
    Mutant(
        "exited-without-entered",
        ACTIVATIONS,
        "if pair in self.begun and pair.exited is not None",
        "if pair.exited is not None",
        "who has not begun is not told of the end (M7)",
        IN_TASKS,
    ),
    Mutant(
        "exited-of-the-wrong-transition",
        ACTIVATIONS,
        "self.is_over, self.exit = True, transition",
        "self.is_over, self.exit = True, self.transition",
        "an `exited` gets the transition in which the state left (M7)",
        IN_TASKS,
    ),
    # -- tasks -----------------------------------------------------------------------------------------------------
    Mutant(
        "begins-though-it-is-over",
        TASKS,
        "        if not activation.is_over:\n            activation.begun",
        "        if True:\n            activation.begun",
        "a task whose state has left before its first step never begins (M7)",
        IN_TASKS,
    ),
    Mutant(
        "no-deadline",
        TASKS,
        "    if handler.deadline_s is None:\n",
        "    if True:\n",
        "an async handler has a deadline (M7)",
        ERRORS,
    ),
    Mutant(
        "errors-of-tasks-are-lost",
        TASKS,
        "                self._activation.failed(rest)\n",
        "                pass\n",
        "a task that raises is an error of its state (M7)",
        ERRORS,
    ),
    Mutant(
        "a-task-is-not-forgotten",
        TASKS,
        "            del HOLDERS[task]\n            self._activation.done(self)\n",
        "            self._activation.done(self)\n",
        "no table keeps a task that has ended",
        OPENING,
    ),
    Mutant(
        "a-machine-is-nobodys",
        TASKS,
        "return ground.identity is owner or (ground.opener is not None and ground.opener.works_for(owner))",
        "return ground.identity is owner",
        "the states of a machine that an actor has opened are the actor's own code (M5)",
        OWNER,
    ),
    # -- what hears of transitions ---------------------------------------------------------------------------------
    Mutant(
        "a-disposed-machine-starts-tasks",
        KEEPER,
        "        if self._body.flags & DISPOSED or (not self._lines and not self._has_tasks):\n",
        "        if not self._lines and not self._has_tasks:\n",
        "a machine that is disposed of in a transition starts nothing any more (M7)",
        OPENING,
    ),
    Mutant(
        "what-is-kept-begins-anew",
        KEEPER,
        "            if state in before and state in schema.keep:\n                continue\n",
        "",
        '`multi="keep"` keeps scope and task (M7)',
        IN_TASKS,
    ),
    Mutant(
        "what-is-rolled-back-starts",
        KEEPER,
        "        for state in transition.rolled_back:\n            self._leave(transition.schema.names[state], transition)\n",
        "        pass\n",
        "the task of a state that was rolled back never starts (M7)",
        IN_TASKS,
    ),
    # -- blocks ----------------------------------------------------------------------------------------------------
    Mutant(
        "a-block-does-not-say-so",
        SCOPES,
        "        self.ended = True\n        self._scope.cancel()\n",
        "        self._scope.cancel()\n",
        "`scope.ended` is true when the activation has ended the block (M7)",
        IN_SCOPES,
    ),
    Mutant(
        "a-block-is-never-over",
        SCOPES,
        "        finally:\n            self._activation.done(self)\n",
        "        finally:\n            pass\n",
        "a block that has ended belongs to nothing (M7)",
        IN_SCOPES,
    ),
    # -- in actors -------------------------------------------------------------------------------------------------
    Mutant(
        "anybody-mutates",
        OWNED,
        "            if holder is not None and holder.works_for(self._owner):\n",
        "            if True:\n",
        "an actor's machine is mutated by its own code only (M5)",
        OWNER,
    ),
    Mutant(
        "visitors-do-not-mutate",
        OWNED,
        "        for holder in (holder_of(task), home_of(task)):\n",
        "        for holder in (home_of(task),):\n",
        "who has the turn acts for the actor (M5, A17)",
        OWNER,
    ),
    Mutant(
        "a-visit-of-a-child-task-is-nobodys",
        "kernel/histrio_kernel/visiting.py",
        "holder = holder.visits_from or _holder_above(holder.task)",
        "holder = holder.visits_from",
        "what a child task starts in a visit belongs to the activation (M7)",
        STATE_TASKS,
    ),
    Mutant(
        "cancelled-operations-wait-for-a-place",
        "kernel/histrio_kernel/io.py",
        "            if scoped._state != PENDING:",
        "            if False:",
        "nothing begins in an activation that is over (M7, E4)",
        STATE_TASKS,
    ),
    Mutant(
        "operations-are-never-over",
        "kernel/histrio_kernel/io.py",
        "        super()._settle(state, result)\n        self._period.done(self)\n",
        "        super()._settle(state, result)\n",
        "an operation that has ended belongs to nothing (M7)",
        WITHIN,
    ),
    Mutant(
        "children-outlive-the-state",
        "actors/histrio/spawning.py",
        "            period.add(self)\n",
        "            pass\n",
        "a child ends with the activation that it belongs to (M7)",
        WITHIN,
    ),
    Mutant(
        "timers-outlive-the-state",
        "actors/histrio/patterns/timers.py",
        "            period.add(belongs)\n",
        "            pass\n",
        "a timer ends with the activation that it belongs to (M7)",
        WITHIN,
    ),
    Mutant(
        "stops-without-its-exited",
        "kernel/histrio_kernel/incarnation.py",
        "            self.machine.end()\n            await self.machine.wound_down()\n",
        "            self.machine.end()\n",
        "an actor that stops waits for the end of its states (M7)",
        STOPPING,
    ),
    Mutant(
        "ends-and-leaves-them-waiting",
        "kernel/histrio_kernel/cell.py",
        "            self.machine.end()\n",
        "            pass\n",
        "who waits for the machine of an actor that was killed is told (A10)",
        STOPPING,
    ),
    Mutant(
        "a-restart-loses-the-machine",
        "kernel/histrio_kernel/incarnation.py",
        "            self.started\n        ) = None\n",
        "            self.started\n        ) = self.machine = None\n",
        "things can belong to the states of an actor that was started again (M7, S3)",
        "tests/actors/machines/test_exceptions.py",
    ),
)
