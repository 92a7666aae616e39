"""Do the steps of the ORM suite, in their order."""
from django.core.management.base import BaseCommand

from patients import steps


class Command(BaseCommand):
    help = __doc__

    def handle(self, *args, **options):
        for name, step in steps.STEPS.items():
            print(f'step {name}', flush=True)
            steps.name_connection(name)
            step()
