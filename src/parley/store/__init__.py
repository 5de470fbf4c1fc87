"""Where sessions are left for another server: sealed, so that only who shows the resume token can open them."""
