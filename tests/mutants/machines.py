"""Ways to get machines wrong: each is one change of the core or of the classes of states, and a test that must notice it."""

from typing import Final

from tests.mutants.mutant import Mutant

CORE: Final = "kernel/histrio_kernel/machine/core"
STATES: Final = "kernel/histrio_kernel/machine/states"
RELATIONS: Final = "tests/machine/test_relations.py"
RESOLUTION: Final = "tests/machine/test_resolution.py"
ORDER: Final = "tests/machine/test_handler_order.py"
QUEUE: Final = "tests/machine/test_queue.py"
ERRORS: Final = "tests/machine/test_errors.py"
AUTOS: Final = "tests/machine/test_autos.py"
DRY: Final = "tests/machine/test_dry_runs.py"
WITHIN: Final = "tests/machine/test_within.py"
INTERRUPTS: Final = "tests/machine/test_interrupts.py"
EVOLVING: Final = "tests/machine/test_evolving.py"
SCHEMAS: Final = "tests/machine/test_states.py"
ARGUMENTS: Final = "tests/machine/test_state_arguments.py"
HANDLERS: Final = "tests/machine/test_state_handlers.py"

MACHINES: Final = (
    # -- resolution ------------------------------------------------------------------------------------------------
    Mutant(
        "adds-are-followed-one-level",
        f"{CORE}/resolve.py",
        "        for name in names:  # it grows while it is walked\n            if name in silent:",
        "        for name in list(names):\n            if name in silent:",
        "what a state implies is implied at any depth (M2)",
        RELATIONS,
    ),
    Mutant(
        "active-multi-adds-again",
        f"{CORE}/resolve.py",
        "silent = set(active).difference(self._multi.intersection(called))",
        "silent = set(active).difference(self._multi)",
        "an active Multi implies its targets when it is called, and in no other transition (M2)",
        RELATIONS,
    ),
    Mutant(
        "walks-forwards",
        f"{CORE}/resolve.py",
        "        for name in reversed(names):\n",
        "        for name in names:\n",
        "what was called is judged last, so it wins (M2)",
        RELATIONS,
    ),
    Mutant(
        "settles-once",
        f"{CORE}/resolve.py",
        "            if len(left) == len(names):\n                return left\n",
        "            return left\n",
        "requirements are looked at again after removals (M2)",
        RELATIONS,
    ),
    Mutant(
        "requirements-are-looked-at-once",
        f"{CORE}/resolve.py",
        "                    lacking.append(other)\n",
        "",
        "what requires a state that lacks something lacks something, too (M2)",
        ERRORS,
    ),
    Mutant(
        "autos-are-let-go-once",
        f"{CORE}/resolve.py",
        "        while len(kept) < len(called):\n",
        "        if len(kept) < len(called):\n",
        "auto states are let go and the rest resolved again, until none is let go (M2)",
        AUTOS,
    ),
    Mutant(
        "removed-autos-are-called",
        f"{CORE}/resolve.py",
        "if name not in present and self._removed_by[name].isdisjoint(present))",
        "if name not in present)",
        "an auto state that an active one removes is not called (M2)",
        AUTOS,
    ),
    Mutant(
        "no-order-by-requirements",
        f"{CORE}/order.py",
        "        names = sorted(states, key=self._place.__getitem__)\n",
        "        names = list(states)\n",
        "what a state requires stands before it (M2)",
        RELATIONS,
    ),
    Mutant(
        "exits-in-the-order-of-activity",
        f"{CORE}/automaton.py",
        "exits = self.resolver.order.sort(state for state in active if state not in after.members)",
        "exits = tuple(state for state in active if state not in after.members)",
        "what leaves is sorted by the same rule as what enters (M2)",
        ORDER,
    ),
    Mutant(
        "multi-never-enters-again",
        f"{CORE}/automaton.py",
        "        again = self.schema.multi.intersection(called_again)\n",
        "        again: frozenset[int] = frozenset()\n",
        "an active Multi that is called enters again, and ticks by two (M2)",
        RELATIONS,
    ),
    Mutant(
        "quiet-states-start-autos",
        f"{CORE}/automaton.py",
        "(bool(delta) and not is_auto and not self._is_quiet(op, called))",
        "(bool(delta) and not is_auto)",
        "the add of one single quiet state starts no auto states (M2)",
        AUTOS,
    ),
    Mutant(
        "autos-start-autos",
        f"{CORE}/automaton.py",
        "(bool(delta) and not is_auto and not self._is_quiet(op, called))",
        "(bool(delta) and not self._is_quiet(op, called))",
        "an auto transition starts no further one (M2)",
        AUTOS,
    ),
    Mutant(
        "vetoed-states-come-back",
        f"{CORE}/automaton.py",
        "negotiated = move.after.members.difference(let_go)",
        "negotiated = move.after.members",
        "what a handler vetoed does not come by another one's add (M2)",
        AUTOS,
    ),
    Mutant(
        "unasked-states-come",
        f"{CORE}/automaton.py",
        "barred = set(range(len(self.schema))) - before.members - negotiated",
        "barred = set(let_go) - before.members",
        "nobody enters after vetoes who was not asked (M2)",
        AUTOS,
    ),
    Mutant(
        "forgets-no-nodes",
        f"{CORE}/automaton.py",
        "        for node in self._nodes.values():\n            node.forget()\n",
        "",
        "at the bound all edges are forgotten, those of nodes that machines stand on, too (M11)",
        RESOLUTION,
    ),
    # -- negotiation -----------------------------------------------------------------------------------------------
    Mutant(
        "whatever-is-false-vetoes",
        f"{CORE}/negotiation.py",
        "    if answer is False:\n",
        "    if not answer:\n",
        "only False vetoes (M1)",
        HANDLERS,
    ),
    Mutant(
        "what-is-let-go-is-asked-on",
        f"{CORE}/negotiation.py",
        "        if step.state in let_go:\n            continue\n",
        "",
        "pair handlers ending in a state let go are not called (M2)",
        AUTOS,
    ),
    Mutant(
        "every-veto-lets-go",
        f"{CORE}/negotiation.py",
        "            if step.state not in autos:\n                return veto\n",
        "",
        "a veto that is about no auto state cancels the auto transition (M2)",
        AUTOS,
    ),
    # -- finals and errors -----------------------------------------------------------------------------------------
    Mutant(
        "an-error-in-exited-stops-all",
        f"{CORE}/finals.py",
        "return step.enters or step.closes or not isinstance(error, Exception)",
        "return True",
        "after an error in `exited` the other final handlers run, and nothing is rolled back (M3)",
        ERRORS,
    ),
    Mutant(
        "the-failing-state-stays",
        f"{CORE}/finals.py",
        "move.enters[first:])",
        "move.enters[first + 1 :])",
        "the state whose `entered` failed leaves again (M3)",
        ERRORS,
    ),
    Mutant(
        "the-rollback-forgets-requirements",
        f"{CORE}/finals.py",
        "left = automaton.resolver.with_requirements([state for state in active if state not in entered])",
        "left = [state for state in active if state not in entered]",
        "what lacks a requirement after a rollback leaves, too (M3)",
        ERRORS,
    ),
    Mutant(
        "exception-waits-its-turn",
        f"{CORE}/drain.py",
        "more.queue.insert(0, _exception(body, error, transition.as_source(more.name)))",
        "more.queue.append(_exception(body, error, transition.as_source(more.name)))",
        "`exception` is added next, before anything queued (M3)",
        ERRORS,
    ),
    Mutant(
        "an-error-of-an-error-is-another",
        f"{CORE}/drain.py",
        "if transition.move.calls_exception or body.flags & DISPOSED:",
        "if body.flags & DISPOSED:",
        "in a transition that calls `exception` no further one is made (M3)",
        ERRORS,
    ),
    Mutant(
        "autos-fail-for-ever",
        f"{CORE}/drain.py",
        "more.no_autos = more.auto_failures >= AUTO_FAILURES_MAX",
        "more.no_autos = False",
        "an auto transition that failed starts no auto for the rest of the drain (M3)",
        AUTOS,
    ),
    Mutant(
        "an-error-outlives-exception",
        f"{CORE}/drain.py",
        "        more.error = None\n        body.flags &= ~FAILED\n",
        "        pass\n",
        "`machine.error` is cleared when `exception` ends (M8)",
        ERRORS,
    ),
    # -- the queue -------------------------------------------------------------------------------------------------
    Mutant(
        "any-equal-one-is-a-duplicate",
        f"{CORE}/queue.py",
        "    last = more.queue[-1]\n",
        "    last = next((each for each in more.queue if each.called == mutation.called), more.queue[-1])\n",
        "only the last pending mutation is looked at (M5)",
        QUEUE,
    ),
    Mutant(
        "arguments-do-not-count",
        f"{CORE}/queue.py",
        "        mutation.args is None\n        and mutation.cause is None\n",
        "        mutation.cause is None\n",
        "each call with arguments counts (M5)",
        QUEUE,
    ),
    Mutant(
        "errors-find-the-queue-full",
        f"{CORE}/queue.py",
        " and schema.exception not in mutation.called:",
        ":",
        "`fail` and `exception` always pass (M5)",
        QUEUE,
    ),
    Mutant(
        "dry-runs-wait-their-turn",
        f"{CORE}/queue.py",
        "        more.queue.insert(0, mutation)\n",
        "        more.queue.append(mutation)\n",
        "a dry run is about the states that its handler sees (M10)",
        DRY,
    ),
    Mutant(
        "errors-are-lost-with-the-queue",
        f"{CORE}/queue.py",
        "        more.shell.unclaimed(mutation.cause, None)\n",
        "        pass\n",
        "an error that waited and was canceled goes to the error hook (M8)",
        QUEUE,
    ),
    Mutant(
        "a-remove-is-always-done-at-once",
        f"{CORE}/machine.py",
        "return running.move.after.members.isdisjoint(called)",
        "return True",
        "a remove of what is about to enter is queued (M5)",
        QUEUE,
    ),
    Mutant(
        "a-drain-has-no-end",
        f"{CORE}/drain.py",
        "        left -= 1\n",
        "        left -= 0\n",
        "after `drain_max` transitions what waits is CANCELED (M9)",
        QUEUE,
    ),
    # -- from inside -----------------------------------------------------------------------------------------------
    Mutant(
        "moves-outlive-their-handlers",
        f"{CORE}/drain.py",
        "        mutation = _as_now(body, mutation)\n",
        "",
        "what is bound within a transition counts from the next one on (M1)",
        WITHIN,
    ),
    Mutant(
        "the-shell-hears-only-beside-tracers",
        f"{CORE}/drain.py",
        "    if body.flags > QUIET:\n        _tell_end(body, more, transition)\n",
        "    if more.on.end:\n        _tell_end(body, more, transition)\n",
        "waits are looked at after the transition in which they were begun (M6)",
        WITHIN,
    ),
    Mutant(
        "interrupts-leave-tickets-open",
        f"{CORE}/drain.py",
        "        ticket.resolve(transition.result)\n",
        "        pass\n",
        "a mutation that was begun has its result, whatever a tracer raised (M5)",
        INTERRUPTS,
    ),
    Mutant(
        "evolution-cancels-nothing",
        f"{CORE}/evolving.py",
        "            more.queue.remove(mutation)\n",
        "            continue\n",
        "a mutation that waits for a state that is gone is CANCELED (M10)",
        EVOLVING,
    ),
    # -- classes of states -----------------------------------------------------------------------------------------
    Mutant(
        "exclusion-is-for-all-classes",
        f"{STATES}/state.py",
        "    elif not other.name:\n        other.removed_by.append(state)\n",
        "    elif not other.name:\n        state.removes.append(other)\n",
        "what a subclass says of an inherited state does not change its base (M10)",
        SCHEMAS,
    ),
    Mutant(
        "errors-need-no-exception",
        f"{STATES}/base.py",
        'self.is_error = name.startswith("err_")',
        "self.is_error = False",
        "`err_...` states require `exception` (M8)",
        SCHEMAS,
    ),
    Mutant(
        "handlers-of-other-classes-pass",
        f"{STATES}/handlers.py",
        "if state.name not in schema.definitions or not schema.knows(state):",
        "if state.name not in schema.definitions:",
        "a handler for a state of another class is an error, whatever it is called (M1)",
        HANDLERS,
    ),
    Mutant(
        "arguments-of-another-state",
        f"{STATES}/handlers.py",
        "            found = given.get(self._about.name, self)\n",
        "            found = next(iter(given.values()), self)\n",
        "a handler sees the arguments of its own state (M10)",
        ARGUMENTS,
    ),
)
