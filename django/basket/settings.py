"""The settings of the demo. What the session needs is the first paragraph."""

SESSION_ENGINE = "edge_sessions"
SESSION_COOKIE_NAME = "session-cookie"
MIDDLEWARE = [
    "edge_sessions.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]

# No database and no secret: nothing is stored here, and nothing of what is signed here outlives the process.
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
