from django.apps import AppConfig
from django.conf import settings
from django.utils.module_loading import import_string


class SignalsConfig(AppConfig):
    name = 'signals'

    def ready(self):
        from . import handlers  # noqa: F401
        if hasattr(settings, 'SIGNALS_LIBRARY'):
            import_string(settings.SIGNALS_LIBRARY)()
