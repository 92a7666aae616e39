"""Print the versions of what is tested; the argument is the driver."""
import platform
import sys
from importlib.metadata import version

driver = sys.argv[1]
print(f'SQLAlchemy {version("SQLAlchemy")}, Alembic {version("alembic")}, '
      f'{driver} {version(driver)}, Python {platform.python_version()}')
