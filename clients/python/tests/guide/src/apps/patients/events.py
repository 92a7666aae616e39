from hcevents.events import *  # noqa: F401,F403
