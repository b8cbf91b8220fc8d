"""Who may come in: accounts, secrets, tokens and the keys that sign them."""
