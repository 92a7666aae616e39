"""Django settings of the tests: three databases of the server they run on."""
import os


def database(name):
    return {'ENGINE': 'django.db.backends.postgresql', 'NAME': name,
            'USER': os.environ['PGUSER'], 'HOST': os.environ['PGHOST'],
            'PORT': os.environ['PGPORT']}


SECRET_KEY = 'of the tests'
USE_TZ = True
DEFAULT_AUTO_FIELD = 'django.db.models.BigAutoField'
INSTALLED_APPS = ['clinic', 'hcevents.django']
DATABASES = {'default': database('hce_django'),
             'producer': database('hce_producer'),
             'cutover': database('hce_cutover'),
             'bare': database('hce_bare')}
