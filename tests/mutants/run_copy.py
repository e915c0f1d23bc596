"""Run tests against a copy of both packages: `python -m tests.mutants.run_copy tests/...`, in the root of the copy.

It refuses to run if what is imported is not the copy.
"""

# The packages are installed in this environment as editable, which puts the original on the path. PYTHONPATH comes
# before that; this is the proof that it did.

import sys
from pathlib import Path

import pytest
from hypothesis import Phase, settings

import histrio
import histrio_kernel


class Briefly:
    """Hypothesis only has to find a counterexample, not a small one."""

    @staticmethod
    @pytest.hookimpl(trylast=True)
    def pytest_configure() -> None:
        """After the profile of the tests has been loaded."""
        settings.register_profile(
            "briefly", settings(), phases=[Phase.generate], report_multiple_bugs=False, database=None, print_blob=False
        )
        settings.load_profile("briefly")

    @staticmethod
    def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
        """A mutant often hangs; a test that is not mutated takes a twentieth of this, on a machine that does nothing else."""
        for item in items:
            mark = item.get_closest_marker("alarm")
            item.add_marker(pytest.mark.alarm(40 if mark is not None and mark.args[0] > 100 else 10), append=False)


def main() -> int:
    """Run the tests that are named on the command line; stop at the first that fails."""
    here = Path.cwd()
    for package in (histrio, histrio_kernel):
        if not Path(str(package.__file__)).is_relative_to(here):
            print(f"{package.__file__} is not the copy in {here}")
            return pytest.ExitCode.USAGE_ERROR
    early = "ignore::pytest.PytestAssertRewriteWarning"  # what is imported above is not to be rewritten
    return pytest.main(["-x", "-q", "-p", "no:cacheprovider", "-W", early, *sys.argv[1:]], plugins=[Briefly()])


if __name__ == "__main__":
    sys.exit(main())
