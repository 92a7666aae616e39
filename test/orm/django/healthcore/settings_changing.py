"""The same models with the migrations of test/orm/migrations."""
from .settings import *  # noqa: F401,F403

MIGRATION_MODULES = {'patients': 'patients.changing'}
