"""People whose identity somebody else vouches for: an OpenID Connect provider."""
