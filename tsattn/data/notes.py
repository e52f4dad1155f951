"""What the reader of files found, changed and left out."""

from __future__ import annotations

from dataclasses import dataclass

from tsattn.timeseries.schema import InferredSetting, ReadingNote


@dataclass(frozen=True)
class Note:
    """Something about a file that the reader found, changed or left out.

    Args:
        field: Setting, such as "decimal" or "left out".
        value: Its value as text.
        reason: Why, one sentence without a full stop.
        is_warning: Whether a user should check it.
        hint: Way to change it; options are placeholders, as in `tsattn.errors.DataWarning`.
    """

    field: str
    value: str
    reason: str
    is_warning: bool = False
    hint: str = ""

    def to_setting(self) -> InferredSetting:
        """Return the note as a setting of the schema."""
        return InferredSetting(field=self.field, value=self.value, given=False, reason=self.reason)

    def to_reading_note(self, name: str) -> ReadingNote:
        """Return the note as a warning about the table of that name."""
        hints = (self.hint,) if self.hint else ()
        return ReadingNote(message=f"{name}: {self.field} {self.value}: {self.reason}", hints=hints)
