"""What is wrong with a Dockerfile, said with the file's name and the line."""

from __future__ import annotations

from envgit.errors import UsageError


class DockerfileError(UsageError):
    """A Dockerfile that cannot be understood; the message begins with "FILE:LINE: ", or "FILE: "."""

    code = "bad-dockerfile"


class ExpansionError(UsageError):
    """A word whose quotes or variables make no sense; knows no line: Source.error makes a DockerfileError of it."""

    code = "bad-expansion"
