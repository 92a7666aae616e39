"""The app config: registers the system checks."""
from __future__ import annotations

from django.apps import AppConfig


class HceventsConfig(AppConfig):
    name = 'hcevents.django'
    label = 'hcevents'
    verbose_name = 'hcevents'

    def ready(self) -> None:
        from . import checks  # noqa: F401  (registers them)
