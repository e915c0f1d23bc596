"""The service on a disk that fails while there is a file `broken` in its data directory: for tests of the process."""

import errno
import os
import sys
from pathlib import Path

from examples.kv_service.__main__ import main

from histrio_kernel.real.syscalls import Syscalls


class Breakable(Syscalls):
    """Real calls; no sync succeeds while that file is there."""

    def __init__(self, broken: Path) -> None:
        self.broken = broken

    def fsync(self, fd: int) -> None:
        if self.broken.exists():
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        super().fsync(fd)


if __name__ == "__main__":
    sys.exit(main(Breakable(Path(os.environ["DATA"]) / "broken")))
