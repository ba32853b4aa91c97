"""The settings of the demo. The first paragraph is what sessions need."""

SESSION_ENGINE = "edge_sessions"
SESSION_COOKIE_NAME = "session-cookie"
MIDDLEWARE = [
    "edge_sessions.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]

# The demo stores nothing, so it needs no database, and signs nothing of value, so the key need not be secret.
INSTALLED_APPS = ["django.contrib.messages", "basket"]
SECRET_KEY = "of the demo, not of a site"
ALLOWED_HOSTS = ["localhost", "127.0.0.1", "testserver"]
ROOT_URLCONF = "basket.urls"
ASGI_APPLICATION = "basket.asgi.application"
WSGI_APPLICATION = "basket.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
