"""Where things lie: what comes with the project is read, what the user owns is read and written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Paths:
    """Folders of one running program. Without --data-dir both are the project's own folder."""

    data: Path
    project: Path = PROJECT

    def _both(self, name: str) -> list[Path]:
        return list(dict.fromkeys([self.data / name, self.project / name]))

    @property
    def models(self) -> list[Path]:
        return self._both("models")

    @property
    def extensions(self) -> list[Path]:
        """The project's first: of two extensions of one name the first is loaded."""
        return self._both("extensions")[::-1]

    @property
    def outputs(self) -> Path:
        return self.data / "outputs"

    @property
    def state(self) -> Path:
        """Jobs, caches: what the program remembers for the user."""
        return self.data / "state"

    @property
    def switches_file(self) -> Path:
        """Which extensions are disabled."""
        return self.state / "extensions.json"

    @property
    def commands_file(self) -> Path:
        """Commands that extensions offered when they were loaded last."""
        return self.state / "extension-commands.json"

    @property
    def versions(self) -> Path:
        """The version before of each installed extension."""
        return self.state / "extension-versions"

    @property
    def constraints(self) -> Path:
        """The versions of packages that the program was tested with."""
        return self.project / "constraints.txt"

    @property
    def settings_file(self) -> Path:
        return self.data / "settings.json"
