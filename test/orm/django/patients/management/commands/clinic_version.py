"""Print the versions of what is tested."""
import platform
from importlib.metadata import version

from django.core.management.base import BaseCommand


class Command(BaseCommand):
    help = __doc__
    requires_system_checks = []

    def handle(self, *args, **options):
        self.stdout.write(
            f'Django {version("Django")}, '
            f'Django REST framework {version("djangorestframework")}, '
            f'psycopg {version("psycopg")}, '
            f'Python {platform.python_version()}')
