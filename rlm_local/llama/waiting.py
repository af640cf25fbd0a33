"""Jobs that have no place yet: who goes next.

The deepest first, so that trees finish instead of growing. Among equally deep ones
the node with the fewest at work, and among those the one that was served longest ago.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Collection, Iterable, Iterator

from rlm_local.llama.jobs import Call, Job

Line = tuple[int, str]  # depth and node


class Waiting:
    """The jobs of each node in the order in which they came."""

    def __init__(self) -> None:
        self._lines: dict[Line, deque[Job]] = {}

    def __bool__(self) -> bool:
        return bool(self._lines)

    def __iter__(self) -> Iterator[Job]:
        for jobs in self._lines.values():
            yield from jobs

    def add(self, job: Job) -> None:
        self._lines.setdefault(job.line, deque()).append(job)

    def put_back(self, job: Job) -> None:
        """Before all others of its node."""
        self._lines.setdefault(job.line, deque()).appendleft(job)

    def lines(self, at_work: Iterable[Job], *, but: Collection[Line] = ()) -> Iterator[Line]:
        """Lines in the order in which they are to be served, those of `but` left out."""
        busy = Counter(job.line for job in at_work)
        # A line that was served goes to the end of the dict: see `take`. Sorting is stable.
        order = sorted(self._lines, key=lambda line: (-line[0], busy[line]))
        return (line for line in order if line not in but)

    def first(self, line: Line, count: int) -> Iterator[Job]:
        """The first `count` jobs of `line`."""
        jobs = self._lines[line]
        return (jobs[at] for at in range(min(count, len(jobs))))

    def take(self, job: Job) -> None:
        """Remove `job`, whose node has been served now."""
        jobs = self._lines.pop(job.line)
        if jobs[0] is job:
            jobs.popleft()
        else:
            jobs.remove(job)
        if jobs:
            self._lines[job.line] = jobs

    def drop(self, call: Call) -> None:
        """Remove all jobs of `call`, which ends."""
        for line in {job.line for job in call.jobs} & self._lines.keys():
            left = deque(job for job in self._lines[line] if job.call is not call)
            if left:
                self._lines[line] = left
            else:
                del self._lines[line]

    def clear(self) -> None:
        self._lines.clear()
