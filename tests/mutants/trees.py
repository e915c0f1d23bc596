"""Ways to get supervision wrong: each is one change of a supervisor, or of the place that it looks after (S1 to S3)."""

from typing import Final

from tests.mutants.mutant import Mutant

OVERSEER: Final = "actors/histrio/supervision/overseer.py"
PLAN: Final = "actors/histrio/supervision/plan.py"
CELL: Final = "kernel/histrio_kernel/cell.py"
RESTARTS: Final = "tests/actors/supervision/test_restarts.py"
GROUPS: Final = "tests/actors/supervision/test_groups.py"
TROUBLE: Final = "tests/actors/supervision/test_group_trouble.py"
BACKOFF: Final = "tests/actors/supervision/test_backoff.py"
ESCALATION: Final = "tests/actors/supervision/test_escalation.py"
DYNAMIC: Final = "tests/actors/supervision/test_dynamic.py"
REQUESTS: Final = "tests/actors/supervision/test_child_requests.py"
PHASES: Final = "tests/actors/supervision/test_restart_phases.py"
CROSSINGS: Final = "tests/actors/supervision/test_crossings.py"
MAIL: Final = "tests/actors/supervision/test_restart_mail.py"
MONITORS: Final = "tests/actors/test_monitors.py"

TREES: Final = (
    # -- who is started again --------------------------------------------------------------------------------------
    Mutant(
        "temporary-is-kept",
        OVERSEER,
        "reason.end is End.CANCELLED or restart is Restart.TEMPORARY or kid.is_awaited",
        "reason.end is End.CANCELLED or kid.is_awaited",
        "a TEMPORARY child is never started again (S1)",
        PHASES,
    ),
    Mutant(
        "transient-always-restarts",
        OVERSEER,
        "return restart is Restart.PERMANENT or reason.end is not End.STOPPED or self._is_halted(kid)",
        "return True",
        "a TRANSIENT child that ends as it was asked to has ended (S1)",
        PHASES,
    ),
    Mutant(
        "permanent-ends-in-peace",
        OVERSEER,
        "return restart is Restart.PERMANENT or reason.end is not End.STOPPED or self._is_halted(kid)",
        "return reason.end is not End.STOPPED or self._is_halted(kid)",
        "a PERMANENT child is started again however it ended (S1)",
        PHASES,
    ),
    Mutant(
        "start-that-failed-is-tried-again",
        OVERSEER,
        "restart is Restart.TEMPORARY or kid.is_awaited:",
        "restart is Restart.TEMPORARY:",
        "a first start that fails is told to whoever waits for it, and not tried again (S2)",
        REQUESTS,
    ),
    # -- how often -------------------------------------------------------------------------------------------------
    Mutant(
        "one-restart-too-few",
        OVERSEER,
        "if len(self._ends) > self.rules.restarts_max:",
        "if len(self._ends) >= self.rules.restarts_max:",
        "restarts_max restarts are allowed in a window (S2)",
        RESTARTS,
    ),
    Mutant(
        "window-never-moves",
        OVERSEER,
        "while now - self._ends[0] > self.rules.window_s:",
        "while False:",
        "what is older than the window counts no more (S2)",
        ESCALATION,
    ),
    Mutant(
        "backoff-never-resets",
        OVERSEER,
        "            kid.in_a_row = 0\n",
        "            pass\n",
        "a child that was up for reset_s begins a new row (S2)",
        BACKOFF,
    ),
    # -- groups ----------------------------------------------------------------------------------------------------
    Mutant(
        "halts-from-left-to-right",
        PLAN,
        "self.halt.append(kid)",
        "self.halt.appendleft(kid)",
        "a group is ended from right to left (S1)",
        GROUPS,
    ),
    Mutant(
        "starts-from-right-to-left",
        PLAN,
        "self.start.appendleft(kid)",
        "self.start.append(kid)",
        "a group is started from left to right (S1)",
        GROUPS,
    ),
    Mutant(
        "rest-is-all",
        OVERSEER,
        "        if self.rules.strategy is Strategy.REST_FOR_ONE:\n            first",
        "        if False:\n            first",
        "REST_FOR_ONE leaves those alone that were started before (S1)",
        GROUPS,
    ),
    Mutant(
        "halted-ones-count",
        OVERSEER,
        "halting, kid.halting = self._is_halted(kid), False",
        "halting, kid.halting = False, False",
        "those that are ended for the sake of another are no restarts of their own (S2)",
        GROUPS,
    ),
    Mutant(
        "starts-in-the-backoff",
        OVERSEER,
        "            plan.due = False\n",
        "            plan.due = True\n",
        "a group is started when its backoff is over (S2)",
        BACKOFF,
    ),
    Mutant(
        "next-start-does-not-wait",
        OVERSEER,
        "            if not kid.up:\n                if kid.is_down:\n"
        "                    self._happens(functools.partial(self._begin, kid))\n                return\n",
        "            if kid.is_down:\n                self._happens(functools.partial(self._begin, kid))\n",
        "each is started when the one before it is up (S1)",
        GROUPS,
    ),
    # -- requests --------------------------------------------------------------------------------------------------
    Mutant(
        "dynamic-remembers-all",
        OVERSEER,
        "if kid.spec.restart is Restart.TEMPORARY or self.rules.forgets:",
        "if kid.spec.restart is Restart.TEMPORARY:",
        "a dynamic supervisor forgets a child that has ended for good (S1)",
        DYNAMIC,
    ),
    Mutant(
        "undo-forgets-what-was-known",
        OVERSEER,
        "kid.dismissed, kid.is_passing = True, forget",
        "kid.dismissed, kid.is_passing = True, True",
        "a cancelled restart_child leaves a child that its supervisor knew",
        CROSSINGS,
    ),
    Mutant(
        "comes-back-in-the-wrong-place",
        OVERSEER,
        "            self._sort(kid)\n",
        "",
        "a child that is started again by request has its old place among its siblings (S1)",
        REQUESTS,
    ),
    Mutant(
        "nobody-is-told-at-the-end",
        OVERSEER,
        "        self._happens(self._call_all_off)\n",
        "        pass\n",
        "who waits for a start is told when the supervisor begins to stop",
        CROSSINGS,
    ),
    Mutant(
        "goes-on-in-a-task-that-is-not-clean",
        "kernel/histrio_kernel/incarnation.py",
        "self.can_go_on = goes_on = same_values(copy_context(), self.base)",
        "self.can_go_on = goes_on = True",
        "what a handler set in its context ends with its incarnation (A4, S3)",
        RESTARTS,
    ),
    # -- the place -------------------------------------------------------------------------------------------------
    Mutant(
        "monitors-hear-restarts",
        CELL,
        "        if not kept:\n            self._announce(reason)\n",
        "        self._announce(reason)\n",
        "monitors are silent on restarts (S5)",
        MONITORS,
    ),
    Mutant(
        "closed-for-ever",
        CELL,
        "        if self.inbox.closed is not None:\n            self.inbox.reopen()\n",
        "",
        "the next incarnation takes messages in (S3)",
        MAIL,
    ),
    Mutant(
        "mail-dies-with-the-incarnation",
        CELL,
        "        if not kept:\n            self._close(reason)\n",
        "        self._close(reason)\n",
        "what waits in the inbox outlives a restart (S3)",
        MAIL,
    ),
    Mutant(
        "a-backoff-can-be-killed",
        CELL,
        "        self.reason = before\n        if not kept:\n",
        "        self.reason = before\n        if True:\n",
        "to kill a PERMANENT child in its backoff does not lose it (S2)",
        PHASES,
    ),
)
