"""Settings of the clinic's API.  The database comes from PG* variables."""
import os

SECRET_KEY = 'only for tests'
ALLOWED_HOSTS = ['localhost', '127.0.0.1']
ROOT_URLCONF = 'healthcore.urls'
WSGI_APPLICATION = 'healthcore.wsgi.application'
INSTALLED_APPS = ['rest_framework', 'patients']
MIDDLEWARE = ['django.middleware.common.CommonMiddleware']
USE_TZ = True
DEFAULT_AUTO_FIELD = 'django.db.models.BigAutoField'

DATABASES = {
    'default': {
        'ENGINE': 'django.db.backends.postgresql',
        'NAME': os.environ.get('PGDATABASE', 'clinic'),
        'HOST': os.environ.get('PGHOST', ''),
        'PORT': os.environ.get('PGPORT', ''),
        'USER': os.environ.get('PGUSER', ''),
        'CONN_MAX_AGE': None,
    },
}

REST_FRAMEWORK = {
    'DEFAULT_AUTHENTICATION_CLASSES': [],
    'DEFAULT_PERMISSION_CLASSES': [],
    'UNAUTHENTICATED_USER': None,
    'DEFAULT_RENDERER_CLASSES': ['rest_framework.renderers.JSONRenderer'],
}
