"""What every section of the configuration has in common.

Decides what a mapping of settings takes and what it refuses; refuses to know which settings there are.
"""

from datetime import date
from decimal import Decimal
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator, model_validator


class Section(BaseModel):
    """A mapping of settings. Unknown keys are errors; a setting without a value is as good as absent."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, arbitrary_types_allowed=True, strict=False, allow_inf_nan=False
    )

    @model_validator(mode="before")
    @classmethod
    def _absent(cls, data: Any) -> Any:
        # `policies:` with every line below it commented out is null in YAML, and means nothing.
        if not isinstance(data, dict):
            return data
        return {name: value for name, value in data.items() if value is not None or name not in cls.model_fields}

    @field_validator("*", mode="before")
    @classmethod
    def _exact(cls, value: Any, info: ValidationInfo) -> Any:
        # `port: yes` is not 1, and `expires: 20270630` is not a second of 1970.
        annotation = cls.model_fields[info.field_name or ""].annotation
        wanted = {annotation, *get_args(annotation)}
        if isinstance(value, bool) and wanted & {int, float, Decimal, date}:
            message = "must not be true or false"
            raise ValueError(message)
        if isinstance(value, (int, float)) and date in wanted:
            message = "must be a date such as 2027-06-30"
            raise ValueError(message)
        return value
