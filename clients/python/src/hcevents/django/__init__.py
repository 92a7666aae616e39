"""hcevents for Django: system checks, and migration operations.

    INSTALLED_APPS = [..., 'hcevents.django']
    HCEVENTS_MODELS = ['patients.Patient', 'appointments.Appointment']

The checks (hcevents.django.checks) say what is missing for the events of
these models; hcevents.django.operations has Attach, Detach and
AttachHealthcore for migrations.  The app has no models and adds nothing to
requests.
"""
