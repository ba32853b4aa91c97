"""A site behind the session filter: it shows a session, puts things into its cart, and ends it."""
