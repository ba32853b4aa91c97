"""Django with the settings of the demo, and with the frameworks that use sessions."""

import os
import sys
from pathlib import Path

import django
from django.conf import settings

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "basket.settings")
settings.INSTALLED_APPS = [*settings.INSTALLED_APPS, "django.contrib.contenttypes", "django.contrib.auth"]
django.setup()
