"""Settings of a project's tests as README.md shows them, for captured/."""
import os

from settings import *  # noqa: F401,F403
from settings import database

INSTALLED_APPS = ['clinic', 'captured', 'hcevents.django']
DATABASES = {'default': database('hce_captured')}
DATABASES['default'].update(
    USER='hce_tester',
    OPTIONS={'options': '-c hcevents.keep_captured=on'},
    TEST={'TEMPLATE': 'test_template', 'NAME': 'test_captured'})
if os.environ.get('HCE_WITHOUT_MIGRATIONS'):
    # Tables without the attachments that the migrations make.
    MIGRATION_MODULES = {'clinic': None}
