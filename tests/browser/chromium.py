"""How Chromium is started: without a window, and as what a person has in all that matters here."""

FLAGS = [
    "--headless=new",
    # A container's root may not have the sandbox, and the only site visited is our own.
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

# Playwright would leave it out, but people have it: it is what could show a page once more after its user logged out.
LEFT_OUT = ["--disable-back-forward-cache"]

NO_CHROMIUM = (
    "no Chromium: CHROMIUM_BIN is not set, neither chromium nor google-chrome is on PATH, and Debian's package could "
    "not be installed (that needs root and apt-get); install one of them, or set CHROMIUM_BIN"
)
