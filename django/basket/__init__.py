"""A demo site behind the session filter: it shows, changes and ends a session."""
