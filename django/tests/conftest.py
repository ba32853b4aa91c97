"""Sets Django up with the settings of the demo, and the apps of Django that use sessions."""

import os

import django
from django.conf import settings

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "basket.settings")
settings.INSTALLED_APPS = [*settings.INSTALLED_APPS, "django.contrib.contenttypes", "django.contrib.auth"]
django.setup()
