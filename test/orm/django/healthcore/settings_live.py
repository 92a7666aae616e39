"""The same models with the migrations of test/orm/http_migrations.

A request that fails is shown where gunicorn writes.
"""
from .settings import *  # noqa: F401,F403

MIGRATION_MODULES = {'patients': 'patients.live'}
LOGGING = {
    'version': 1,
    'disable_existing_loggers': False,
    'handlers': {'console': {'class': 'logging.StreamHandler'}},
    'loggers': {'django.request': {'handlers': ['console'],
                                   'level': 'ERROR'}},
}
