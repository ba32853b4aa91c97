"""The options of Chromium: no window, no background traffic, and the back/forward cache as users have it."""

FLAGS = [
    "--headless=new",
    # Root in a container may have no sandbox, and the tests visit their own site alone.
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

# Playwright disables the back/forward cache by default, which can show a page again after its user has logged out.
LEFT_OUT = ["--disable-back-forward-cache"]

NO_CHROMIUM = (
    "no Chromium: CHROMIUM_BIN is not set, neither chromium nor google-chrome is on PATH, and Debian's package could "
    "not be installed (that needs root and apt-get); install one of them, or set CHROMIUM_BIN"
)
