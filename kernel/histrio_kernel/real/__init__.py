"""The world as it is: the operating system's clock, chance, files, connections, threads and processes."""

from histrio_kernel.real.clock import RealClock as RealClock
from histrio_kernel.real.disk import DiskStatistics as DiskStatistics
from histrio_kernel.real.disk import RealDisk as RealDisk
from histrio_kernel.real.driver import RealDriver as RealDriver
from histrio_kernel.real.net import RealListener as RealListener
from histrio_kernel.real.net import RealNet as RealNet
from histrio_kernel.real.syscalls import Syscalls as Syscalls
